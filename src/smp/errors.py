"""The one-line error: what a user can mend ends the process with the file, the row and the remedy, not a traceback."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class DataError(Exception):
    """Something a user can mend: one line that names the file, the row and the remedy."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """A DataError, or what the system refuses (OSError), ends the process with one line; a log keeps the traceback."""
    try:
        yield
    except DataError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        logging.getLogger("smp").info("stopped", exc_info=True)
        where = f"{error.filename}: " if error.filename else ""
        what = " ".join(str(error.strerror or error).split())
        sys.exit(f"error: {where}{what}; mend that and run the same command again: what is finished is kept")
