"""What the data folders hold: `python -m smp.check [image|video|all]`; exit 1 with a line per fatal problem."""

import argparse
import sys

import numpy as np
import pandas as pd

from smp import paths
from smp.data import image, pictures, video

SITES = {"image": image.SITE, "video": video.SITE}


def read_posts(track: paths.Track) -> tuple[pd.DataFrame, dict[str, int]]:
    return {"image": image, "video": video}[track].read(paths.data(track))


def report(track: paths.Track) -> None:
    """Print all that is known about a track's data. Raises DataError (or OSError) on the first fatal problem."""
    folder = paths.data(track)
    if paths.is_demo(track):
        print(f"{track}: GENERATED DEMO DATA in {folder}, since {paths.official(track)} holds no official files")
        print(f"  official     get them from {SITES[track]}")
    else:
        print(f"{track}: official data in {folder}")
    posts, quirks = read_posts(track)
    train, test = (posts[posts["split"] == split] for split in ("train", "test"))
    print(f"  posts        {len(train):,} train, {len(test):,} test")
    print(f"  handled      {', '.join(f'{name}: {count:,}' for name, count in sorted(quirks.items())) or 'no quirk met'}")
    _media(track, posts)
    users, others = train["user_id"].unique(), test["user_id"].unique()
    unseen = ~test["user_id"].isin(users).to_numpy()
    print(
        f"  users        {len(users):,} train, {len(others):,} test, {len(np.intersect1d(users, others)):,} in both; "
        f"{unseen.mean():.1%} of test posts are by users unseen in train"
    )
    label = train["label"]
    print(f"  label        {label.min():.2f} to {label.max():.2f}, mean {label.mean():.3f}")
    for name, part in (("train", train), ("test", test)):
        print(f"  time {name:<7} {part['time'].min():%Y-%m-%d %H:%M:%S} to {part['time'].max():%Y-%m-%d %H:%M:%S} UTC")


def _media(track: paths.Track, posts: pd.DataFrame) -> None:
    folder = paths.data(track)
    if track == "video":
        found = sum((folder / path).is_file() for path in posts["video_path"] if path)
        print(f"  videos       {found:,} of {len(posts):,} found (no experiment needs them)")
        return
    scan = pictures.scan(folder, posts["image_path"])
    counts = scan["status"].value_counts()
    print(f"  images       {counts['ok']:,} ok, {counts['missing']:,} missing, {counts['unreadable']:,} unreadable")
    for status in ("missing", "unreadable"):
        if counts[status]:
            first = posts["image_path"].to_numpy()[(scan["status"] == status).to_numpy()][0]
            print(f"    {status:<10} e.g. {folder / first}; get it from {SITES[track]}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m smp.check", description=__doc__)
    parser.add_argument("track", nargs="?", default="all", choices=[*paths.TRACKS, "all"])
    track = parser.parse_args(arguments).track
    problems = []
    for one in paths.TRACKS if track == "all" else (track,):
        try:
            report(one)
        except (paths.DataError, OSError) as error:
            problems.append(f"{one}: {error}")
    sys.stdout.flush()
    for problem in problems:
        print(f"FATAL {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
