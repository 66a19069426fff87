"""The one-line error: what a user can mend ends the process with the file, the row and the remedy, not a traceback."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from types import TracebackType

from smp import memory


class DataError(Exception):
    """Something a user can mend: one line that names the file, the row and the remedy."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """A DataError, or what the system refuses (OSError), ends the process with one line; a log keeps the traceback.

    So does want of memory, with exit code 137, and Ctrl-C, with 130. A reader that wants no more (`| head`) ends it
    without a word.
    """
    try:
        yield
        sys.stdout.flush()  # so that a reader that is gone is met here, and not when Python ends
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again: what is finished is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as the shell says it of a program that ended by SIGPIPE
    except DataError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        short = memory.is_short(error)
        if not (short or isinstance(error, OSError)):
            raise
        logging.getLogger("smp").info("stopped", exc_info=True)
        if short:
            kind, again = type(error).__name__, "run the same command again: what is finished is kept"
            print(f"error: out of memory ({kind}); {memory.REMEDY}, and {again}", file=sys.stderr)
            sys.exit(137)
        where = f"{error.filename}: " if error.filename else ""
        what = " ".join(str(error.strerror or error).split())
        sys.exit(f"error: {where}{what}; mend that and run the same command again: what is finished is kept")


def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """In place of Python's own: Ctrl-C ends in one line outside `one_line_errors` too, while a program still imports.

    So does the error that a library makes of it on the way. A child is silent: Ctrl-C goes to all, the parent speaks.
    """
    cause = error
    while cause and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    if not cause:
        sys.__excepthook__(kind, error, traceback)
    elif parent_process():
        sys.exit(130)
    else:
        with one_line_errors():
            raise cause
