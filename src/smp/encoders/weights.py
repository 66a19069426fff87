"""Pretrained weights by repository of the hub: a local folder first, then the hub's cache, then a download."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from smp import paths
from smp.disk.walk import mistaken
from smp.errors import DataError


def local_folder(repo: str) -> Path:
    """Where files of a repository can be laid by hand: weights/<owner>--<name>/ beside the official data."""
    return paths.weights() / repo.replace("/", "--")


def hub_folder(repo: str, needed: Sequence[str], optional: Sequence[str] = ()) -> Path:
    """Folder with the files `needed` of a hub repository (names or patterns) and whatever there matches `optional`.

    Raises DataError naming the file that is lacking, its address and its place when it is nowhere to be had.
    """
    import huggingface_hub as hub

    def lacking(folder: Path) -> str:
        return next((name for name in needed if not any(folder.glob(name))), "")

    place, files, address = local_folder(repo), [*needed, *optional], f"{hub.constants.ENDPOINT}/{repo}"
    if not lacking(place):
        for file in sorted(file for name in needed for file in place.glob(name)):
            check_weights(file)
        return place
    try:
        cached = Path(hub.snapshot_download(repo, allow_patterns=files, local_files_only=True))
        if not lacking(cached):
            return cached
    except hub.errors.LocalEntryNotFoundError:
        pass
    try:
        hub.get_session().head(hub.constants.ENDPOINT, timeout=5)  # the hub's own retries would take a minute a file
        folder = Path(hub.snapshot_download(repo, allow_patterns=files))
    except Exception as error:  # no network, no such repository, no right to read it: all mended in the same way
        raise DataError(
            f"{place / lacking(place)}: no such file, and the hub gives none ({type(error).__name__}); put "
            f"{' '.join(files)} of {address} into that folder"
        ) from error
    if lacking(folder):
        raise DataError(f"{address}: holds no {lacking(folder)}; choose another model in the Config")
    return folder


def hub_files(repo: str, choices: Sequence[Sequence[str]], optional: Sequence[str] = ()) -> Path:
    """`hub_folder` with the first of several sets of files that is to be had, such as safetensors before older kinds.

    Raises the first set's DataError when none is.
    """
    refusals = []
    for needed in choices:
        try:
            return hub_folder(repo, needed, optional)
        except DataError as error:
            refusals.append(error)
    raise refusals[0]


def check_weights(file: Path) -> None:
    """Raises DataError where a pointer of Git LFS or a web page lies in the place of weights."""
    if kind := mistaken(file):
        raise DataError(f"{file}: {kind}")


@contextmanager
def reading(place: Path, model: str) -> Iterator[None]:
    """Whatever a library cannot make of the files at `place` becomes a DataError of one line that names them."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # libraries raise what they like: of a broken file, other shapes, another model
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(f"{place}: not weights of {model} ({reason:.200}); get them again") from error
