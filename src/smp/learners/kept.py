"""Trained models in a folder: files in their library's own format, arrays, and model.json, which vouches for them."""

import json
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from smp.disk.hashes import source_hash
from smp.disk.store import replacing
from smp.errors import DataError

CARD, ARRAYS = "model.json", "arrays.safetensors"
REMEDY = "make the experiment that keeps it again with --force"


def keep(
    folder: Path,
    kind: str,
    values: dict[str, Any],
    arrays: dict[str, np.ndarray] | None = None,
    files: dict[str, Callable[[Path], object]] | None = None,
) -> None:
    """Write a model of the class `kind`: plain values, named arrays, and files by what writes each to a path.

    model.json comes last and holds a hash of every file; without it the folder counts as empty.
    """
    from safetensors.numpy import save_file

    files = dict(files or {})
    if arrays:
        files[ARRAYS] = lambda path: save_file({k: np.asarray(v, order="C") for k, v in arrays.items()}, path)
    (folder / CARD).unlink(missing_ok=True)
    for name, write in files.items():
        with replacing(folder / name) as aside:
            write(aside)
    card = {"class": kind, **values, "files": {name: source_hash(folder / name) for name in files}}
    with replacing(folder / CARD) as aside:
        aside.write_text(json.dumps(card, indent=1))


def card_of(folder: Path) -> dict[str, Any]:
    """What model.json says, its files checked. Raises DataError where the folder keeps no model, or not all of it."""
    try:
        card = json.loads((folder / CARD).read_text())
    except FileNotFoundError:
        raise DataError(f"{folder / CARD}: no such file; {REMEDY}") from None
    except ValueError as error:
        raise DataError(f"{folder / CARD}: not readable ({error}); {REMEDY}") from error
    for name, made in card["files"].items():
        file = folder / name
        if not file.exists() or source_hash(file) != made:
            raise DataError(f"{file}: missing, or not what was written; {REMEDY}")
    return card


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    """The arrays that `keep` was given."""
    from safetensors.numpy import load_file

    return load_file(folder / ARRAYS)


def with_prefix(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays under names that start with `prefix.`; `under` takes them out again."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def under(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays whose names start with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): a for name, a in arrays.items() if name.startswith(f"{prefix}.")}


def restored(kind: Any, value: Any) -> Any:
    """The dataclass `kind` whose fields were written as plain values, those that are dataclasses too.

    Of several kinds, a union or a tuple, it is the one whose name stands beside the fields as `class`.
    """
    if not isinstance(value, dict):
        return tuple(restored(None, v) for v in value) if isinstance(value, list) else value
    kinds = [k for k in (kind if isinstance(kind, tuple) else get_args(kind) or (kind,)) if is_dataclass(k)]
    [kind] = [k for k in kinds if len(kinds) == 1 or k.__name__ == value["class"]]
    hints = get_type_hints(kind)
    return kind(**{name: restored(hints[name], v) for name, v in value.items() if name != "class"})
