"""Pretrained weights by repository of the hub: a local folder first, then the hub's cache, then a download."""

from pathlib import Path

from smp import paths
from smp.paths import DataError


def local_folder(repo: str) -> Path:
    """Where files of a repository can be laid by hand: weights/<owner>--<name>/ beside the official data."""
    return paths.official("image").parent / "weights" / repo.replace("/", "--")


def hub_folder(repo: str, needed: str, patterns: tuple[str, ...] = ()) -> Path:
    """Folder with the file `needed` of a hub repository and whatever there matches `patterns`.

    Raises DataError naming the file, its address and its place when it is nowhere and there is no network.
    """
    import huggingface_hub as hub

    if (local_folder(repo) / needed).exists():
        return local_folder(repo)
    files = [needed, *patterns]
    try:
        cached = Path(hub.snapshot_download(repo, allow_patterns=files, local_files_only=True))
        if (cached / needed).exists():
            return cached
    except hub.errors.LocalEntryNotFoundError:
        pass
    try:
        hub.get_session().head(hub.constants.ENDPOINT, timeout=5)  # the hub's own retries would take a minute a file
        folder = Path(hub.snapshot_download(repo, allow_patterns=files))
    except Exception as error:  # no network, no such repository, no right to read it: all mended in the same way
        raise DataError(
            f"{local_folder(repo) / needed}: no such file, and the hub gives none ({type(error).__name__}); put "
            f"{' '.join(files)} of {hub.constants.ENDPOINT}/{repo} into that folder"
        ) from error
    if not (folder / needed).exists():
        raise DataError(f"{hub.constants.ENDPOINT}/{repo}: holds no {needed}; choose another model in the Config")
    return folder
