"""Every folder and every environment switch of the project; nothing else reads the environment."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]  # the checkout: the package is installed editable

Track = Literal["image", "video"]
TRACKS: tuple[Track, ...] = ("image", "video")


class DataError(Exception):
    """Something a user can mend: one line that names the file, the row and the remedy."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """A DataError ends the process with its one line instead of a traceback."""
    try:
        yield
    except DataError as error:
        sys.exit(f"error: {error}")


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or ROOT / default).expanduser().resolve()


def official(track: Track) -> Path:
    """Folder of a track's official files, whether or not it exists. Raises DataError when SMP_INPUT names no folder."""
    folder = _folder("SMP_INPUT", "input")
    if os.environ.get("SMP_INPUT") and not folder.is_dir():
        raise DataError(f"SMP_INPUT={folder}: no such folder; point it at the one that holds smpd_{track}/")
    return folder / f"smpd_{track}"


def is_demo(track: Track) -> bool:
    """True when no official files of the track are there and generated data stand in for them."""
    folder = official(track)
    return not (folder.is_dir() and any(p.name != "README.md" and p.name[0] != "." for p in folder.iterdir()))


def demo_data() -> Path:
    """Folder of the generated data set: smpd_image/, smpd_video/, truth/ and ceiling.json."""
    return _folder("SMP_OUTPUT", "output") / "demo" / "input"


def data(track: Track) -> Path:
    """Folder the track is read from: the official files, or the generated ones where there are none."""
    return demo_data() / f"smpd_{track}" if is_demo(track) else official(track)


def output(track: Track) -> Path:
    """Root of everything generated for a track; demo runs keep to their own."""
    folder = _folder("SMP_OUTPUT", "output")
    return folder / "demo" if is_demo(track) else folder


def features(track: Track) -> Path:
    """Folder of the track's cached feature tables and embeddings."""
    return output(track) / "features" / track


def extra_features(track: Track) -> Path:
    """Folder of optional feature files laid beside the official data by the user (`<name>.parquet`, by post id)."""
    return data(track) / "features"


def fold_table(track: Track, scheme: str = "time") -> Path:
    """The one fold table of a track; the comparison schemes have theirs beside it."""
    return output(track) / "folds" / (f"{track}.parquet" if scheme == "time" else f"{track}-{scheme}.parquet")


def submissions(track: Track) -> Path:
    """Folder of what is uploaded to the challenge; demo runs keep to their own."""
    folder = _folder("SMP_SUBMISSIONS", "submissions")
    return folder / "demo" if is_demo(track) else folder


def profile() -> Literal["full", "small"]:
    """SMP_PROFILE where set, else full where CUDA is available and small elsewhere."""
    chosen = os.environ.get("SMP_PROFILE")
    if chosen in ("full", "small"):
        return chosen
    if chosen:
        raise DataError(f"SMP_PROFILE={chosen}: must be full or small")
    import torch  # seconds to import: only asked when nothing is set

    # Asks the driver without starting CUDA: after is_available() a forked stage could not start it any more.
    return "full" if torch.cuda.device_count() else "small"
