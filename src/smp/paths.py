"""Every folder and every environment switch of the project; nothing else reads the environment."""

import os
import re
from pathlib import Path
from typing import Literal

from smp.errors import DataError

ROOT = Path(__file__).resolve().parents[2]  # the checkout: the package is installed editable


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or ROOT / default).expanduser().resolve()


def _input() -> tuple[str, Path]:
    """SMP_INPUT: a folder, or `demo` for generated data whatever lies in input/; empty where it is not set. And the
    folder that holds the tracks' official files, weights and the like.
    """
    chosen = os.environ.get("SMP_INPUT") or ""
    return chosen, ROOT / "input" if chosen == "demo" else _folder("SMP_INPUT", "input")


def use(folder: Path) -> None:
    """Point this process and its children at input/, output/ and submissions/ inside `folder`."""
    (folder / "input").mkdir(exist_ok=True)
    os.environ.update({f"SMP_{name.upper()}": str(folder / name) for name in ("input", "output", "submissions")})


def official(track: str) -> Path:
    """Folder of a track's official files, <track>/ or smpd_<track>/, whether or not it exists.

    Spelt in any way (SMPD-Video/), and one with files before an empty one; SMP_INPUT may name it itself. Raises
    DataError when SMP_INPUT names no folder, or two are full.
    """
    chosen, folder = _input()
    if chosen not in ("", "demo") and not folder.is_dir():
        raise DataError(f"SMP_INPUT={folder}: no such folder; point it at the one that holds smpd_{track}/")
    there = [p for p in sorted(folder.iterdir()) if p.is_dir()] if folder.is_dir() else []
    found = [p for p in there if _is_of(p.name, track)]
    full = [p for p in found if _holds_files(p)]
    if len(full) > 1:
        raise DataError(f"{full[0]}: holds files, and {full[1]} too; keep one folder of the track {track}")
    if not found and _is_of(folder.name, track) and not any(p.name.lower().startswith("smpd") for p in there):
        return folder
    return next(iter(full or found), folder / f"smpd_{track}")


def _is_of(name: str, track: str) -> bool:
    plain = re.sub(r"[\W_]", "", name.lower())
    return plain in (f"{prefix}{track}" for prefix in ("", "smp", "smpd"))


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(p.name != "README.md" and p.name[0] != "." for p in folder.iterdir())


def weights() -> Path:
    """Folder of pretrained weights laid by hand, beside the tracks' official files."""
    return _input()[1] / "weights"


def is_demo(track: str) -> bool:
    """True when generated data stand in for the official files: none are in input/, or SMP_INPUT says `demo`.

    A folder that SMP_INPUT names is always taken at its word.
    """
    if chosen := _input()[0]:
        return chosen == "demo"
    return not _holds_files(official(track))


def is_there(track: str) -> bool:
    """Whether the track has data: generated, or a folder of official files. Raises DataError as `official` does."""
    return is_demo(track) or official(track).is_dir()


def demo_data() -> Path:
    """Folder of the generated data set: smpd_<track>/ each, and truth/."""
    return _folder("SMP_OUTPUT", "output") / "demo" / "input"


def demo_posts() -> int:
    """SMP_DEMO_POSTS: how many image posts are generated, train and test together."""
    chosen = os.environ.get("SMP_DEMO_POSTS") or "10000"
    if not chosen.isdecimal():
        raise DataError(f"SMP_DEMO_POSTS={chosen}: must be a whole number")
    return int(chosen)


def data(track: str) -> Path:
    """Folder the track is read from: the official files, or the generated ones where there are none."""
    return demo_data() / f"smpd_{track}" if is_demo(track) else official(track)


def output(track: str) -> Path:
    """Root of everything generated for a track; demo runs keep to their own."""
    folder = _folder("SMP_OUTPUT", "output")
    return folder / "demo" if is_demo(track) else folder


def lock(track: str, name: str) -> Path:
    """Lock file (smp.disk.locks) of something that several processes may want to make or change."""
    return output(track) / ".locks" / name


def storage() -> str | None:
    """SMP_STORAGE: address of a database that holds the Optuna studies of several machines; None: a file each."""
    return os.environ.get("SMP_STORAGE") or None


def features(track: str) -> Path:
    """Folder of the track's cached feature tables and embeddings."""
    return output(track) / "features" / track


def extra_features(track: str) -> Path:
    """Folder of optional feature files laid beside the official data by the user (`<name>.parquet`, by post id)."""
    return data(track) / "features"


def fold_table(track: str, scheme: str = "time") -> Path:
    """The one fold table of a track; the comparison schemes have theirs beside it."""
    return output(track) / "folds" / (f"{track}.parquet" if scheme == "time" else f"{track}-{scheme}.parquet")


def submissions(track: str) -> Path:
    """Folder of what is uploaded to the challenge; demo runs keep to their own."""
    folder = _folder("SMP_SUBMISSIONS", "submissions")
    return folder / "demo" if is_demo(track) else folder


def gpus() -> int:
    """The GPUs that this process may use."""
    if not any(os.path.exists(driver) for driver in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")):
        return 0  # no driver of a GPU: on Linux, Windows' Linux, AMD
    import torch  # seconds to import: only asked where there is one

    # Asks the driver without starting CUDA: after is_available() a forked stage could not start it any more.
    return torch.cuda.device_count()


def ranks_here() -> int:
    """How many of torchrun's ranks share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1)


def profile() -> Literal["full", "small"]:
    """SMP_PROFILE where set, else full where CUDA is available and small elsewhere."""
    chosen = os.environ.get("SMP_PROFILE")
    if chosen in ("full", "small"):
        return chosen
    if chosen:
        raise DataError(f"SMP_PROFILE={chosen}: must be full or small")
    return "full" if gpus() else "small"


def keep_profile() -> None:
    """Ask for the profile once, for this process and its children."""
    os.environ["SMP_PROFILE"] = profile()
