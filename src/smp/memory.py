"""How much memory a process took, and the signs that there was none left."""

import errno
import re
import resource
import sys

KILLED = -9, 137  # exit codes of what the system ended for want of memory: by the signal, and as a shell says it
REMEDY = "use fewer jobs, processes or workers, or a smaller batch"
KINDS = {"MemoryError", "OutOfMemoryError", "TerminatedWorkerError"}  # Python's and NumPy's, torch's, joblib's
WORDS = re.compile(r"out of memory|can.t allocate|bad.alloc|DataLoader worker .*(exited|killed)", re.IGNORECASE)


def peak_gb(who: int = resource.RUSAGE_SELF) -> float:
    """The most memory that this process held at once, or with RUSAGE_CHILDREN any that it waited for, in GB."""
    return resource.getrusage(who).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)  # bytes there, KiB else


def is_short(error: BaseException) -> bool:
    """Whether an error says that memory ran out, here or in a process that worked for this one.

    Told by names, as no library is loaded to ask; those in C++ say it in words alone.
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return bool(KINDS & {kind.__name__ for kind in type(error).__mro__} or WORDS.search(str(error)))
