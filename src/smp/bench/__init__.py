"""Measurements: `python -m smp.bench --help` lists them; each is a module here."""

import multiprocessing
import resource
import time
from collections.abc import Callable

FULL = 486_000  # posts of SMPD-Image


def measured(function: Callable, *arguments: object) -> dict[str, float]:
    """Run in a forked child; its wall seconds and peak memory in GB. Raises RuntimeError when it fails."""
    queue = multiprocessing.get_context("fork").SimpleQueue()

    def child() -> None:
        started = time.perf_counter()
        function(*arguments)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        queue.put((round(time.perf_counter() - started, 2), round(peak, 2)))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{function.__qualname__} failed with exit code {process.exitcode}")
    seconds, peak = queue.get()
    return {"seconds": seconds, "peak_gb": peak}
