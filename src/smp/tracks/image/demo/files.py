"""Writer of the official files of SMPD-Image in the 2024+ layout, and of the labels kept aside."""

from pathlib import Path

import numpy as np
import orjson

from smp.tracks.demo.files import CHUNK, write_labels, write_rows
from smp.tracks.demo.world import World
from smp.tracks.image.demo.posts import ImageSample
from smp.tracks.image.demo.users import DAY, HOMES


def write_columns(path: Path, columns: dict[str, np.ndarray]) -> None:
    """A dict of columns, each {"0": ..., "1": ...}, as pandas writes a table."""
    n = len(next(iter(columns.values())))
    with path.open("wb") as file:
        for i, (name, column) in enumerate(columns.items()):
            file.write((b"," if i else b"{") + orjson.dumps(name) + b":{")
            for start in range(0, n, CHUNK):
                keys = map(str, range(start, min(start + CHUNK, n)))
                part = orjson.dumps(dict(zip(keys, column[start : start + CHUNK].tolist(), strict=True)))
                file.write((b"," if start else b"") + part[1:-1])
            file.write(b"}")
        file.write(b"}")


def picture_names(sample: ImageSample) -> np.ndarray:
    """`<split>/<Uid>/<Pid>.jpg` of every post."""
    split = np.where(sample.is_train, "train/", "test/")
    uid = sample.users["uid"].to_numpy(dtype=str)[sample.posts["user"]]
    name = np.char.add(np.char.add(split, uid), np.char.add("/", sample.posts["pid"].to_numpy().astype(str)))
    return np.char.add(name, ".jpg")


def text(values: np.ndarray) -> np.ndarray:
    """Numbers as strings."""
    return values.astype(str).astype(object)


def null(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Values with null where missing."""
    return np.where(missing, None, values.astype(object))


def write_image(folder: Path, truth: Path, sample: ImageSample, world: World, rng: np.random.Generator) -> None:
    """All files of the image track but the pictures; `truth` gets the labels of the test posts."""
    posts, n = sample.posts, len(sample.posts)
    user = sample.users.iloc[posts["user"]].reset_index(drop=True)
    town = HOMES.iloc[user["town"]].reset_index(drop=True)
    concept = posts["concept"].to_numpy()
    subcategory = world.subcategory_of[concept]
    no_zone = user["tz"].isna().to_numpy()
    taken = (user["first_date"].to_numpy() - 200 * DAY).astype("datetime64[s]").astype(str)
    hidden = posts["user"].duplicated().to_numpy() & (rng.random(n) < 0.02)  # another post of the user has the alias
    alias = np.where(hidden, "None", user["alias"].to_numpy(dtype=object))
    pid = posts["pid"].to_numpy()
    ids = {"Uid": user["uid"].to_numpy(dtype=object), "Pid": text(pid)}
    tables = {
        "additional_information": {
            "Pathalias": alias,
            "Ispublic": np.full(n, "1", dtype=object),
            "Mediastatus": np.full(n, "ready", dtype=object),
        },
        "category": {
            "Category": world.category[world.category_of[subcategory]],
            "Subcategory": world.subcategory[subcategory],
            "Concept": world.concept[concept],
        },
        "temporalspatial_information": {
            "Postdate": text(posts["time"].to_numpy()),
            "Latitude": posts["latitude"].to_numpy(),
            "Longitude": posts["longitude"].to_numpy(),
            "Geoaccuracy": text(posts["accuracy"].to_numpy()),
        },
        "text": {
            "Title": posts["title"].to_numpy(),
            "Mediatype": np.where(rng.random(n) < 0.01, "video", "photo"),
            "Alltags": posts["alltags"].to_numpy(),
        },
    }
    profile = {
        "photo_firstdate": np.where(user["first_date"] == 0, "None", text(user["first_date"].to_numpy())),
        "photo_count": user["photo_count"].to_numpy(dtype=float),  # NaN becomes null
        "ispro": user["is_pro"].to_numpy(),
        "canbuypro": 1 - user["is_pro"].to_numpy(),
        "timezone_offset": null(town["offset"].to_numpy(), no_zone),
        "photo_firstdatetaken": null(np.char.replace(taken, "T", " "), (user["first_date"] == 0).to_numpy()),
        "timezone_id": null(town["zone"].to_numpy(), no_zone),
        "user_description": null(user["description"].to_numpy(), (user["description_words"] == 0).to_numpy()),
        "location_description": null(town["name"].to_numpy(), ~user["tells_town"].to_numpy()),
    }
    names = picture_names(sample)
    for split, part in (("train", sample.is_train), ("test", ~sample.is_train)):
        meta = folder / f"{split}_allmetadata_json"
        meta.mkdir(parents=True)
        for name, table in tables.items():
            write_rows(meta / f"{split}_{name}.json", {key: column[part] for key, column in (ids | table).items()})
        table = {"Uid": ids["Uid"], "Pid": pid} | profile  # here the official Pid is a number
        write_columns(meta / f"{split}_user_data.json", {key: column[part] for key, column in table.items()})
        (meta / f"{split}_img_filepath.txt").write_text("\n".join(names[part].tolist()) + "\n", encoding="utf-8")
    label = sample.label
    lines = "".join(map("%.2f\n".__mod__, label[sample.is_train].tolist()))
    (folder / "train_allmetadata_json" / "train_label.txt").write_text(lines, encoding="utf-8")
    (folder / "external").mkdir()
    sample.counters.to_csv(folder / "external" / "user_additional.csv", index=False)
    write_labels(truth / "image_test.csv", ids["Pid"][~sample.is_train], label[~sample.is_train])
