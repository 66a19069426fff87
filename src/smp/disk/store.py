"""Tables and embeddings on disk: written aside and renamed, keyed by post id, never pickled."""

import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from smp.errors import DataError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever the block fails to write becomes a DataError that names `path`: a full disk, a read-only folder."""
    try:
        yield
    except Exception as error:
        if not _is_refusal(error, path):
            raise
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise DataError(
            f"{path}: cannot be written ({reason}); make room there, or the folder writable, and run the same command "
            "again: what is finished is kept"
        ) from error


def _is_refusal(error: Exception, path: Path) -> bool:
    """Whether writing failed for want of room or right; libraries in C++ report a full disk as any error they like."""
    if isinstance(error, OSError):
        if error.filename is None:
            return True
        return path.is_relative_to(error.filename) or Path(error.filename).is_relative_to(path.parent)
    return not isinstance(error, DataError) and path.parent.is_dir() and shutil.disk_usage(path.parent).free < 2**16


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write to; it takes the name only when the block ends well.

    What a killed process of this machine left of the same file is removed. Raises DataError when the system refuses to
    write.
    """
    host = os.uname().nodename
    aside = path.with_name(f".{path.name}.{host}.{os.getpid()}.partial")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in path.parent.glob(f".{glob.escape(path.name)}.{glob.escape(host)}.*.partial"):
                if not _is_running(int(left.name.split(".")[-2])):
                    left.unlink(missing_ok=True)
            yield aside
            os.replace(aside, path)
        finally:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raises DataError where a folder cannot be written to, or made; leaves nothing there."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    probe = place / f".{os.uname().nodename}.{os.getpid()}.writable"
    with writing(folder):
        probe.touch()
        probe.unlink()


def write_json(path: Path, value: object) -> None:
    """Write aside, then rename."""
    with replacing(path) as aside:
        aside.write_text(json.dumps(value, indent=1) + "\n")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def new_array(path: Path, shape: tuple[int, ...], dtype: type = np.float16) -> np.memmap:
    """A new `.npy` file as a writable memory map, its room claimed at once.

    On a full disk this raises OSError, where writing to a file with holes would kill the process.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
        else:  # macOS: zeros where there would be holes, after the header that is there
            file.seek(start := array.offset)
            for at in range(start, os.path.getsize(path), 2**24):
                file.write(bytes(min(2**24, os.path.getsize(path) - at)))
    return array


def _is_list(dtype: object) -> bool:
    return isinstance(dtype, pd.ArrowDtype) and pa.types.is_list(dtype.pyarrow_dtype)


def write_table(path: Path, table: pd.DataFrame, note: dict[str, str] | None = None) -> None:
    """Write a frame and its index as parquet, with `note` in the file's metadata."""
    lists = [c for c, dtype in table.dtypes.items() if _is_list(dtype)]
    arrow = pa.Table.from_pandas(table.drop(columns=lists))
    for name in lists:  # kept out of pandas' own metadata, whose reader cannot parse the name of a nested type
        arrow = arrow.append_column(name, pa.array(table[name].array))
    arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, **(note or {})})
    with replacing(path) as aside:
        pq.write_table(arrow, aside)


def read_table(path: Path) -> pd.DataFrame:
    """Read what `write_table` wrote, or a user's own parquet; lists of strings stay in Arrow. Raises DataError."""
    try:
        arrow = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file ({error}); delete it and run again") from error
    table = arrow.to_pandas(types_mapper=lambda t: pd.ArrowDtype(t) if pa.types.is_list(t) else None)
    told = (arrow.schema.pandas_metadata or {}).get("columns", ())
    lost = [c["name"] for c in told if c["pandas_type"] == "categorical" and c["name"] in table]
    return table.astype({c: "category" for c in lost if not isinstance(table[c].dtype, pd.CategoricalDtype)})


def read_note(path: Path) -> dict[str, str]:
    """The metadata `write_table` was given; empty where the file is missing or unreadable."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return {}
    return {k.decode(): v.decode() for k, v in metadata.items() if k not in (b"pandas", b"ARROW:schema")}


def write_embeddings(
    folder: Path, name: str, ids: pd.Index, array: np.ndarray, note: dict[str, str] | None = None
) -> None:
    """Write `array` (n, d) as float16 `<name>.npy` and its post ids as `<name>.ids.parquet`, the ids last."""
    if len(ids) != len(array):
        raise ValueError(f"{name}: {len(ids)} ids for {len(array)} rows")
    keys = folder / f"{name}.ids.parquet"
    keys.unlink(missing_ok=True)  # without it the pair does not count, so a new array never meets old ids
    with replacing(folder / f"{name}.npy") as aside, aside.open("wb") as file:
        np.save(file, np.asarray(array, dtype=np.float16))
    write_table(keys, pd.DataFrame(index=pd.Index(ids, name="post_id")), note)


def adopt_embeddings(folder: Path, name: str, ids: pd.Index, file: Path, note: dict[str, str]) -> None:
    """As `write_embeddings`, of a float16 array that lies in `file` of the same disk: renamed, not copied.

    Where it is not there any more, a killed run renamed it.
    """
    keys = folder / f"{name}.ids.parquet"
    keys.unlink(missing_ok=True)
    if file.exists():
        with writing(folder / f"{name}.npy"):
            os.replace(file, folder / f"{name}.npy")
    write_table(keys, pd.DataFrame(index=pd.Index(ids, name="post_id")), note)


def read_embeddings(folder: Path, name: str) -> tuple[pd.Index, np.ndarray]:
    """The post ids (n,) and the memory-mapped float16 array (n, d). Raises DataError when the pair is not whole."""
    keys, values = folder / f"{name}.ids.parquet", folder / f"{name}.npy"
    if not (keys.exists() and values.exists()):
        raise DataError(f"{values}: no such embeddings; run the experiment that makes them")
    ids = read_table(keys).index
    try:
        array = np.load(values, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"{values}: not a readable array ({reason}); delete it and run again") from error
    if len(ids) != len(array):
        raise DataError(f"{values}: {len(array)} rows for {len(ids)} ids; delete both and run again")
    return ids, array
