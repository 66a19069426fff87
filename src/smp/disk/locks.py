"""Locks between processes: each dies with the process that holds it, however that ends, and is kept out of forks."""

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from smp.disk.store import writing
from smp.errors import DataError

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}  # what a file system without locks answers
_held: dict[tuple[int, Path], IO] = {}  # by process, as a forked child has the files but not the locks


def acquire(path: Path, *, shared: bool = False, wait: bool = True) -> bool:
    """Hold the lock `path` until `release`, or until this process ends; False where another holds it and not `wait`.

    shared: beside others that share it. It is a POSIX record lock (fcntl): seen by all machines of a shared file
    system, not inherited by forked children. While waiting says who holds it. May be asked for again by its holder.
    """
    key = os.getpid(), path
    if key not in _held:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _held[key] = path.open("a+")
    file, kind = _held[key], fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        try:
            fcntl.lockf(file, kind | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # POSIX lets a system choose between the two
            if not wait:
                release(path)
                return False
            file.seek(0)
            print(f"{path}: held by {file.read() or 'another'}; waiting until it is done", file=sys.stderr, flush=True)
            fcntl.lockf(file, kind)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            remedy = "point SMP_OUTPUT at a local disk, or mount this one with locks"
            raise DataError(f"{path}: its file system has no locks ({error.strerror}); {remedy}") from error
        if not shared:
            with suppress(OSError):  # a full disk: a lock needs no words
                file.truncate(0)
                file.write(f"process {os.getpid()} on {os.uname().nodename}")
                file.flush()
    except BaseException:
        release(path)
        raise
    return True


def release(path: Path) -> None:
    """Let go of a lock, if this process holds it."""
    file = _held.pop((os.getpid(), path), None)
    if file:
        with suppress(OSError):
            file.close()


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock `path` inside the block, which learns whether it got it: always, unless `wait` is False."""
    got = acquire(path, wait=wait)
    try:
        yield got
    finally:
        if got:
            release(path)


def hold(path: Path, remedy: str) -> None:
    """Hold the lock `path` until this process ends. Raises DataError with the remedy where another holds it."""
    if not acquire(path, wait=False):
        holder = path.read_text()  # only now: a process that closes a file drops its own locks on it
        raise DataError(f"{path}: held by {holder or 'another process'}; {remedy}")
