"""How far a long loop is: a bar on a terminal; in a log a line at its start, one a minute at most, one at its end."""

import sys
from collections.abc import Iterable

from tqdm import tqdm

MINUTE = 60.0


def progress(iterable: Iterable | None = None, **settings: object) -> tqdm:
    """A tqdm over `iterable`, with tqdm's settings, that writes to stderr."""
    if sys.stderr.isatty():
        return tqdm(iterable, **settings)
    settings |= {"file": _Lines(), "mininterval": MINUTE, "maxinterval": 10 * MINUTE, "miniters": 1, "ascii": True}
    return tqdm(iterable, ncols=100, **settings)


class _Lines:
    """Stderr that takes what tqdm writes over a line of a terminal as a line of its own, each once."""

    last = ""

    def write(self, text: str) -> None:
        if (line := text.strip("\r\n ")) and line != self.last:
            self.last = line
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        pass
