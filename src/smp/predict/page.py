"""What the page shows; Streamlit runs this file again at every change. `python -m smp.predict app` serves it."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from smp import tracks
from smp.disk.pictures import header
from smp.errors import DataError
from smp.predict.interval import LEVEL
from smp.predict.posts import from_table
from smp.predict.say import Forecast, about
from smp.predict.whatif import at_hours, predict_alone, with_first_tags
from smp.predict.world import World

LISTED = ("category", "subcategory", "concept")


@st.cache_resource(show_spinner="reading the models")
def load(track: str, experiment: str) -> Forecast:
    return Forecast.of(track, experiment)


def asked(forecast: Forecast) -> tuple[dict[str, object], str, object]:
    """What was entered, by column; other titles; the file that was dropped. Nothing before the button is pressed."""
    room, known = tracks.get(forecast.known.track), forecast.known.data.items
    with st.form("post"):
        dropped = st.file_uploader("Picture") if room.embeddings and room.new_posts.media == "image_path" else None
        given = {"title": st.text_input("Title"), "tags": st.text_input("Tags", placeholder="sunset sea holiday")}
        for column in LISTED:
            names = sorted(known[column].dropna().unique()) if column in known else []
            if names:
                given[column] = st.selectbox(column.capitalize(), ["", *names])
        latest = known["time"].max()
        day, hour = st.columns(2)
        date, time = day.date_input("Day", latest.date()), hour.time_input("Time (UTC)", latest.time(), step=900)
        given["time"] = f"{date} {time}"
        given["user_id"] = st.text_input("Account", help="a user of the data, or nothing: an account never seen")
        with st.expander("What the account is like (where it is not in the data)"):
            for column in room.new_posts.account:
                if column in known and known[column].dtype.kind == "f":
                    given[column] = st.text_input(column.replace("_", " "))
        others = st.text_area("Other titles, one a line", height=80)
        pressed = st.form_submit_button("Predict", type="primary", width="stretch")
    given = {name: value for name, value in given.items() if value or name == "time"}
    return (given if pressed else {}), others, dropped


def curve(predictor, variants: Iterator[tuple[object, pd.DataFrame]], name: str) -> None:
    """Draw the predictions of variants of the post one after the other."""
    points, place = {}, st.empty()
    for value, post in variants:
        points[value] = predict_alone(predictor, post)
        place.line_chart(pd.Series(points, name="prediction").rename_axis(name), height=220, x_label=name)


def answer(forecast: Forecast, given: dict[str, object], others: str, picture: str) -> None:
    room, known = tracks.get(forecast.known.track), forecast.known
    post = from_table(pd.DataFrame([given], dtype=object), "the post", room, known.data)
    post[room.new_posts.media] = picture
    table, left_out = forecast.table(post)
    row, y = table.iloc[0], known.data.labels[known.train]
    left, right = st.columns(2)
    left.metric("Prediction", f"{row['prediction']:.2f}", help="in the units of the data's popularity score")
    right.metric(f"{LEVEL:.0%} interval", f"{row['low']:.2f} to {row['high']:.2f}")
    st.caption(
        f"More than what {np.mean(y < row['prediction']):.0%} of the labelled posts got. The account is "
        f"{'known' if row['user_seen'] else 'not known: what its posts earn is a guess'}."
    )
    for name, why in left_out.items():
        st.caption(f"Without {name}: {why}.")
    st.subheader("Why")
    st.markdown("\n".join(f"- {row[c]}" for c in table if c.startswith("reason_") and row[c]))
    titles = [line.strip() for line in others.splitlines() if line.strip()]
    if titles:
        st.subheader("Other titles")
        made = {post["title"].iloc[0] or "(none)": row["prediction"]}
        for title in titles:
            other = from_table(pd.DataFrame([given | {"title": title}], dtype=object), "the post", room, known.data)
            made[title] = predict_alone(forecast.predictor, other.assign(**{room.new_posts.media: picture}))
        st.dataframe(pd.Series(made, name="prediction").round(2).rename_axis("title"), width="stretch")
    st.subheader("Posts that the trees put beside it")
    rows, share = forecast.predictor.alike(World(known, post))
    shown = known.data.items.iloc[rows][["title", "user_id", "time"]].assign(
        popularity=known.data.labels[rows].round(2), alike=[f"{s:.0%}" for s in share]
    )
    st.dataframe(shown, hide_index=True, width="stretch")
    st.subheader("By the hour of the day")
    curve(forecast.predictor, at_hours(post), "hour")
    if len(post["tags"].iloc[0]):
        st.subheader("With the first of its tags alone")
        curve(forecast.predictor, with_first_tags(post), "tags")


def main(track: str, experiment: str) -> None:
    st.set_page_config("How popular will this post be?", layout="centered")
    st.title("How popular will this post be?")
    try:
        forecast = load(track, experiment)
        for line in about(forecast):
            st.caption(line[0].upper() + line[1:] + ".")
        given, others, dropped = asked(forecast)
        if given:
            with tempfile.TemporaryDirectory() as folder:
                picture = Path(folder) / "picture" if dropped else None
                if picture:
                    picture.write_bytes(dropped.getvalue())
                    header(picture)
                answer(forecast, given, others, str(picture or ""))
    except (DataError, OSError) as error:
        st.error(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:3])
