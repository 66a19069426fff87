"""The report's own pictures, small enough for a phone: each function draws one from a table and returns it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from smp import tracks
from smp.present import COLORS, PALE, subplots
from smp.report.model import Explanation

MAIN, SECOND, THIRD = COLORS[0], COLORS[1], COLORS[2]
PERIODS = {  # name, pandas' code -> the least span of time that is counted by it
    ("year", "Y"): pd.Timedelta(days=4 * 365),
    ("month", "M"): pd.Timedelta(days=120),
    ("day", "D"): pd.Timedelta(days=4),
    ("hour", "h"): pd.Timedelta(0),
}
ABREAST = 3  # panels side by side, as many as a page shows legibly


def scores(table: pd.DataFrame) -> plt.Figure:
    """cv and holdout of every experiment, a panel a track and metric."""
    panels = [(t, d, m) for (t, d), _ in table.groupby(["track", "data"]) for m in tracks.get(t).task.metrics]
    height, across = 1.4 + 0.28 * table.groupby("track").size().max(), min(len(panels), ABREAST)
    figure, axes = subplots(-(-len(panels) // across), across, 4.2, height)
    for axis, (track, data, metric) in zip(axes.flat, panels):
        rows = table[(table["track"] == track) & (table["data"] == data)].sort_values("experiment", ascending=False)
        for part, marker, color in (("cv", "o", PALE), ("holdout", "D", MAIN)):
            axis.plot(rows[f"{part}_{metric.name}"], rows["experiment"], marker, color=color, label=part)
        axis.set_title(f"{track}, {data}", fontsize=10)
        axis.set_xlabel(f"{metric.name.upper()} ({metric.better} is better)")
    for left, right in ((line[i - 1], line[i]) for line in axes for i in range(1, across)):
        right.tick_params(labelleft=left.get_title() != right.get_title())
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    axes[0][0].legend(loc="best", fontsize=8)
    return figure


def labels(label: pd.Series, pred: pd.Series | None = None) -> plt.Figure:
    """Distribution of the training labels, and of the submission's predictions beside it."""
    figure, axes = subplots(1, 1, 4.8, 3)
    bins = np.linspace(label.min(), label.max(), 50)
    axes[0][0].hist(label, bins, density=True, color=PALE, alpha=0.6, label="labels of train")
    if pred is not None:
        axes[0][0].hist(pred, bins, density=True, histtype="step", color=MAIN, linewidth=1.6, label="submission")
        axes[0][0].legend(fontsize=8)
    axes[0][0].set(xlabel="popularity", ylabel="density")
    return figure


def period(time: pd.Series) -> tuple[str, str]:
    """What to count items by, as they lie over years, weeks or a day: its name and pandas' code."""
    span = time.max() - time.min()
    return next(p for p, least in PERIODS.items() if span >= least)


def over_time(posts: pd.DataFrame) -> plt.Figure:
    """Posts a year, month, day or hour in train and test, and their mean label."""
    figure, axes = subplots(2, 1, 4.8, 1.9, sharex=True)
    name, code = period(posts["time"])
    start = posts["time"].dt.tz_localize(None).dt.to_period(code).dt.to_timestamp()
    for split, color in (("train", THIRD), ("test", SECOND)):
        count = start[posts["split"] == split].value_counts().sort_index()
        axes[0][0].plot(count.index, count, marker=".", color=color, label=split)
    mean = posts["label"].groupby(start).mean()
    axes[1][0].plot(mean.index, mean, marker=".", color=THIRD)
    axes[0][0].set(ylabel=f"posts by {name}")
    axes[1][0].set(ylabel="mean label")
    axes[0][0].legend(fontsize=8)
    figure.autofmt_xdate()
    return figure


def folds(table: pd.DataFrame) -> plt.Figure:
    """Where each fold lies in time, with the mean and quartiles of its labels: what drifts from fold to fold."""
    figure, axes = subplots(1, 1, 4.8, 3)
    for fold, rows in table.groupby("fold"):
        start, end = (rows["time"].min(), rows["time"].max())
        mean, (low, high) = rows["label"].mean(), rows["label"].quantile([0.25, 0.75])
        color = SECOND if rows["holdout"].all() else THIRD
        axes[0][0].fill_between([start, end], low, high, color=color, alpha=0.25, linewidth=0)
        axes[0][0].hlines(mean, start, end, color=color)
        place = start + (end - start) / 2, max(high, mean)
        axes[0][0].annotate(f"{fold}", place, ha="center", xytext=(0, 3), textcoords="offset points")
    axes[0][0].set(ylabel="label: mean and quartiles", xlabel="time; red: the holdout")
    figure.autofmt_xdate()
    return figure


def error_bars(groups: pd.DataFrame, name: str, unit: str) -> plt.Figure:
    """Mean error of every group with its standard error; groups: index, error, se, posts."""
    figure, axes = subplots(1, 1, 4.8, max(1.6, 0.7 + 0.24 * len(groups)))
    axis = axes[0][0]
    names = [f"{name} ({posts:,})" for name, posts in zip(groups.index, groups["posts"])]
    axis.barh(names, groups["error"], xerr=groups["se"], color=MAIN, alpha=0.75)
    axis.invert_yaxis()
    axis.set(xlabel=unit, ylabel=f"{name} (posts)")
    return figure


def calibration(table: pd.DataFrame, bins: int = 15) -> plt.Figure:
    """Mean true label against mean prediction in bins of equal size, of all out-of-fold rows and of the holdout."""
    figure, axes = subplots(1, 1, 4.8, 3.6)
    for name, rows, color in (("cv", table, PALE), ("holdout", table[table["holdout"]], MAIN)):
        part = pd.qcut(rows["pred"].rank(method="first"), min(bins, len(rows)), labels=False)
        means = rows.groupby(part)[["pred", "label"]].mean()
        axes[0][0].plot(means["pred"], means["label"], marker="o", markersize=4, color=color, label=name)
    ends = [table["pred"].min(), table["pred"].max()]
    axes[0][0].plot(ends, ends, color="black", linewidth=0.7, linestyle=":")
    axes[0][0].set(xlabel="mean prediction of a bin", ylabel="mean true label")
    axes[0][0].legend(fontsize=8)
    return figure


def importance(explanation: Explanation) -> plt.Figure:
    """The features with the largest mean |SHAP|, and their share of the gain."""
    top = explanation.importance.head(len(explanation.shap.columns))
    figure, axes = subplots(1, 1, 4.8, 4.6)
    at = np.arange(len(top))
    axes[0][0].barh(at - 0.2, top["shap"] / top["shap"].max(), 0.4, color=MAIN, label="mean |SHAP|")
    axes[0][0].barh(at + 0.2, top["gain"] / top["gain"].max(), 0.4, color=PALE, label="gain in training")
    axes[0][0].set_yticks(at, top["feature"], fontsize=8)
    axes[0][0].invert_yaxis()
    axes[0][0].set_xlabel("share of the largest")
    axes[0][0].legend(fontsize=8)
    return figure


def shap_summary(explanation: Explanation) -> plt.Figure:
    """A dot a post and feature: what it adds to the prediction, coloured by the feature's value among the posts."""
    figure, axes = subplots(1, 1, 4.8, 4.6)
    rng = np.random.default_rng(0)
    columns = list(explanation.shap.columns)
    for i, name in enumerate(columns):
        rank = explanation.values[name].rank(pct=True)
        missing = rank.isna().to_numpy()
        shap, at = explanation.shap[name].to_numpy(), i + rng.uniform(-0.32, 0.32, len(rank))
        axes[0][0].scatter(shap[missing], at[missing], 1.5, color=PALE, linewidths=0)
        dots = axes[0][0].scatter(
            shap[~missing], at[~missing], 1.5, c=rank[~missing], cmap="coolwarm", vmin=0, vmax=1, linewidths=0
        )
    axes[0][0].axvline(0, color="black", linewidth=0.7)
    axes[0][0].set_yticks(range(len(columns)), columns, fontsize=8)
    axes[0][0].invert_yaxis()
    axes[0][0].set_xlabel("adds to the predicted label")
    bar = figure.colorbar(dots, ax=axes[0][0], ticks=[0, 1], aspect=40, pad=0.01)
    bar.ax.set_yticklabels(["low", "high"], fontsize=8)
    return figure
