"""What the data folders hold: `python -m smp.check [TRACK|all]`; exit 1 with a line per fatal problem."""

import argparse
import sys

from smp import paths, tracks
from smp.errors import DataError, one_line_errors
from smp.features import laid
from smp.tracks.load import read_data


def report(track: str) -> None:
    """Print all that is known about a track's data. Raises DataError (or OSError) on the first fatal problem."""
    folder = paths.data(track)
    if paths.is_demo(track):
        print(f"{track}: GENERATED DEMO DATA in {folder}")
        _line("official", f"none in {paths.official(track)}; get them from {tracks.get(track).site}")
    else:
        print(f"{track}: official data in {folder}")
    data, quirks = read_data(track)
    posts, label = data.items, data.labels[data.labelled]
    train, test = (posts[posts["split"] == split] for split in ("train", "test"))
    _line("posts", f"{len(train):,} train, {len(test):,} test")
    _line("handled", ", ".join(f"{name}: {quirks[name]:,}" for name in sorted(quirks)) or "no quirk met")
    if media := tracks.get(track).media:
        for name, value in media(folder, posts):
            _line(name, value)
    _line("extra", ", ".join(laid(track)) or f"no feature files in {paths.extra_features(track)} (optional)")
    users, others = (set(part["user_id"]) for part in (train, test))
    _line("users", f"{len(users):,} train, {len(others):,} test, {len(users & others):,} in both")
    if len(test):  # a research track may have none
        _line("", f"{1 - test['user_id'].isin(users).mean():.1%} of test posts are by users unseen in train")
    _line("label", f"{label.min():.2f} to {label.max():.2f}, mean {label.mean():.3f}")
    for name, part in (("train", train), ("test", test)):
        if len(part):
            _line(f"time {name}", f"{part['time'].min():%Y-%m-%d %H:%M} to {part['time'].max():%Y-%m-%d %H:%M} UTC")


def _line(name: str, value: str) -> None:
    print(f"  {name:<11}{value}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m smp.check", description=__doc__)
    parser.add_argument("track", nargs="?", default="all", choices=[*tracks.names(), "all"])
    track = parser.parse_args(arguments).track
    problems, found = [], 0
    for one in tracks.names() if track == "all" else (track,):
        try:
            if track == "all" and not paths.is_there(one):
                print(f"{one}: no {paths.official(one)}, left out")
                continue
            found += 1
            report(one)
        except BrokenPipeError:
            raise
        except (DataError, OSError) as error:
            problems.append(f"FATAL {one}: {error}")
    if not found and not problems:
        there = ", ".join(sorted(p.name for p in paths.official(tracks.names()[0]).parent.iterdir())[:5]) or "nothing"
        where = f"no track's folder in SMP_INPUT (what lies there: {there})"
        problems = [f"FATAL: {where}; see {paths.ROOT}/input/README.md for what goes there"]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    with one_line_errors():
        code = main()
    sys.exit(code)
