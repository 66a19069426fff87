"""Eight counters crawled from Flickr account pages, an optional external input: used only where the user lays the file.

`external/user_additional.{csv,txt,parquet}` in the image track's folder: pathalias, then views, tags, geotagged, faves,
groups, photos, followers, following of the account; commas or white space between them, a header or none. A submission
made with it must declare it in `external_data`.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths
from smp.disk.walk import mistaken
from smp.errors import DataError

# What a header's name must hold: totalViews, views and view_count are all the views.
STEMS = {
    "pathalias": "alias",
    "views": "view",
    "tags": "(?<!geo)tag",
    "geotagged": "geotag",
    "faves": "fave",
    "groups": "group",
    "photos": "photo",
    "followers": "follower",
    "following": "following",
}
COUNTERS = tuple(STEMS)[1:]
RATIOS = (
    ("views", "photos"),
    ("faves", "photos"),
    ("tags", "photos"),
    ("groups", "photos"),
    ("faves", "views"),
    ("followers", "following"),
)
NO_ALIAS = ("", "None")  # official spelling of a missing alias; the real account named "None" is none of the posts'


def files() -> list[Path]:
    """The optional file, where it is there."""
    return [path for path in (_file(),) if path]


def build(posts: pd.DataFrame) -> pd.DataFrame:
    """One row a post: counter_<name>, ln(1 + count), and counter_<a>_per_<b>, ln((1 + a) / (1 + b)), float32.

    A post without Pathalias takes that of another post of its user. NaN, and counter_missing 1, for an account that the
    file lacks or has all zeros for, which is a failed crawl. Raises DataError when there is no file or it is malformed.
    Source: USTC (2020), which lost .785 -> .554 SRC by filling in a mean instead.
    """
    counts = _read().reindex(_aliases(posts))
    values = {f"counter_{name}": np.log1p(counts[name]) for name in COUNTERS}
    for a, b in RATIOS:
        values[f"counter_{a}_per_{b}"] = np.log1p(counts[a]) - np.log1p(counts[b])
    values["counter_reactions_per_views"] = np.log1p(counts["faves"] + counts["followers"]) - np.log1p(counts["views"])
    values["counter_missing"] = counts["views"].isna()
    return pd.DataFrame({k: v.to_numpy(np.float32) for k, v in values.items()}, index=posts.index)


def masked(posts: pd.DataFrame, y: np.ndarray, block: np.ndarray, seed: int) -> pd.DataFrame:
    """The counters as a model may learn from them: where the file is there, else a frame without columns.

    Training rows (y, (n,), is not NaN) are masked until they lack counters as often as test posts do, so that a crawl
    that covers the train better than the test does not mislead.
    """
    if not files():
        return pd.DataFrame(index=posts.index)
    table, shown = build(posts), np.isfinite(y)
    lacking, test = table["counter_missing"].to_numpy() > 0, (posts["split"] == "test").to_numpy()
    in_train, in_test = lacking[shown].mean(), lacking[test].mean()
    share = max(0.0, (in_test - in_train) / max(1 - in_train, 1e-9))
    table[shown] = mask(table[shown], posts["user_id"][shown], seed, share)
    return table


def mask(table: pd.DataFrame, users: pd.Series, seed: int, share: float) -> pd.DataFrame:
    """The table of `build` as if the accounts of a random `share` of users had not been crawled.

    For training rows alone: the learner then meets the missing branch as often as the test does. users: the posts'
    user_id (category), rows as in `table`; a user's rows are masked together, the same users whichever rows are given.
    """
    hidden = np.random.default_rng(seed).random(len(users.cat.categories)) < share
    masked = table.copy()
    masked.loc[(users.cat.codes >= 0) & hidden[users.cat.codes]] = np.nan  # -1: no user, and never another's mask
    masked["counter_missing"] = masked["counter_missing"].fillna(1)
    return masked


def _aliases(posts: pd.DataFrame) -> pd.Series:
    """(n,) alias of each post's user; where it is missing, the alphabetically first of the user's other posts."""
    alias = posts["pathalias"].where(~posts["pathalias"].isin(NO_ALIAS))
    known = pd.DataFrame({"user": posts["user_id"].cat.codes, "alias": alias}).dropna().sort_values(["user", "alias"])
    of_user = known.drop_duplicates("user").set_index("user")["alias"].drop(-1, errors="ignore")  # -1: no user
    return alias.fillna(posts["user_id"].cat.codes.map(of_user))


def _file() -> Path | None:
    folder = paths.data("image") / "external"
    found = [p for p in (folder / f"user_additional.{ending}" for ending in ("parquet", "csv", "txt")) if p.is_file()]
    return found[0] if found else None


def _read() -> pd.DataFrame:
    """Counters by pathalias; float64, one row an account, without those of which nothing is known."""
    path = _file()
    if path is None:
        raise DataError(f"{paths.data('image') / 'external'}: no user_additional.csv, .txt or .parquet; lay it there")
    if kind := mistaken(path):
        raise DataError(f"{path}: {kind}")
    try:
        table = pd.read_parquet(path).reset_index(drop=True) if path.suffix == ".parquet" else _read_text(path)
    except (ValueError, OSError) as error:  # pandas' and Arrow's parsing errors are ValueErrors
        raise DataError(f"{path}: not a table ({str(error).strip()}); mend or remove the file") from error
    names = [str(c).lower() for c in table.columns]
    at = {name: [i for i, c in enumerate(names) if re.search(stem, c)] for name, stem in STEMS.items()}
    lacking = [name for name, found in at.items() if len(found) != 1]
    if lacking:
        raise DataError(f"{path}: no single column {lacking[0]}; give it {len(STEMS)} columns: {', '.join(STEMS)}")
    table = table.iloc[:, [found[0] for found in at.values()]].set_axis([*STEMS], axis=1)
    counts = table[[*COUNTERS]].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    bad = ~((counts >= 0) & (counts < np.inf)).all(axis=1)
    if bad.any():
        raise DataError(
            f"{path}: row {bad.idxmax() + 1}: not an alias and {len(COUNTERS)} counts; mend or drop the row"
        )
    counts.index = pd.Index(table["pathalias"].astype(str))
    counts = counts[~counts.index.isin(NO_ALIAS) & (counts > 0).any(axis=1)]
    return counts[~counts.index.duplicated(keep="last")]


def _read_text(path: Path) -> pd.DataFrame:
    """The file's rows as strings, indexed by line from 0, columns by the header's names or in the order of STEMS."""
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
    table = pd.read_csv(
        path,
        sep="," if "," in first else r"\s+",
        header=None,
        dtype=str,
        keep_default_na=False,
        encoding_errors="replace",
    )
    if pd.to_numeric(table.iloc[0], errors="coerce").notna().any():  # counts already: no header
        return table.set_axis([*STEMS], axis=1)
    return table.iloc[1:].set_axis(table.iloc[0].tolist(), axis=1)
