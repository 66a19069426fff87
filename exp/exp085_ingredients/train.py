"""What each ingredient of the music systems gives. Parents: exp080_lgbm_history, exp080_lgbm, exp081-083. Asks: do the
claims of GAMENet, HitMusicLyricNet and the spectrogram CNN hold on these songs?

A variant takes one thing out of a system and is trained as the system was, on the same rows with the same seeds; all
are compared on the holdout, paired over seeds and artists, at one level that all comparisons share. Writes
ingredients.csv, and codes.csv: how well LyricsAENet gives later songs' words back, beside principal components.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from smp import tracks
from smp.disk.store import read_table, replacing
from smp.experiment import Run, Settings, config_of, predictions_read
from smp.folds import load_folds
from smp.models.lyricnet import LyricNet
from smp.models.spectrogram_cnn import SpectrogramCNN
from smp.oof import Part, cross_fit, finished, holdout_of, parts_of
from smp.runner import run_make
from smp.study import claims, say, side_by_side
from smp.tracks.base import Data
from smp.tracks.load import load_data
from smp.tracks.music import networks
from smp.tracks.music.networks import Network

import numpy as np
import pandas as pd
import torch

TRACK = "music"
GROUP = "studies"
PARENTS = (
    "exp080_lgbm_history",
    "exp080_lgbm",
    "exp081_gamenet",
    "exp082_hitmusicnet",
    "exp082_lyricnet",
    "exp083_spectrogram_cnn",
)
HISTORY, TREES, GAMENET, HITMUSICNET, LYRICNET, CNN = PARENTS
SOUND_CODED = LyricNet(groups=(("sound", "low_level"),), tied=(False,))
# what is taken out -> the system, and how its network changes
VARIANTS: dict[str, tuple[str, Callable[[Network], Network]]] = {
    "GAMENet, experts side by side": (GAMENET, lambda n: replace(n, model=replace(n.model, fusion="concat"))),
    "GAMENet, experts averaged": (GAMENET, lambda n: replace(n, model=replace(n.model, fusion="mean"))),
    "GAMENet without a career": (GAMENET, lambda n: replace(n, label_features=())),
    "GAMENet, a career's aggregate alone": (GAMENET, lambda n: replace(n, label_features=("history",))),
    "GAMENet without autoencoders": (GAMENET, lambda n: replace(n, model=replace(n.model, onion=False))),
    "GAMENet, sound alone": (GAMENET, lambda n: replace(n, features=("sound", "low_level"), label_features=())),
    "HitMusicLyricNet, words not tied": (LYRICNET, lambda n: replace(n, model=replace(n.model, tied=(False, False)))),
    "HitMusicLyricNet, words read as they are": (LYRICNET, lambda n: replace(n, model=SOUND_CODED)),
    "the CNN without ears": (CNN, lambda n: n),
}
RIVALS = ((GAMENET, HISTORY), (GAMENET, TREES), (LYRICNET, HITMUSICNET), (LYRICNET, TREES))


@dataclass(frozen=True)
class Config(Settings):
    seeds: tuple[int, ...] = (0, 1, 2)  # of the variants, where their system has as many

    def inputs(self, track: str) -> dict[str, str]:
        return predictions_read(track, PARENTS)


def make(run: Run) -> dict:
    data, metric = load_data(TRACK), tracks.get(TRACK).task.metrics[0]
    part = holdout_of(parts_of(data, load_folds(TRACK, data), tracks.get(TRACK).split))
    predicted = {name: read_table(finished(TRACK, name) / "holdout.parquet").to_numpy() for name in PARENTS}
    of_system = {name: config_of(TRACK, name, Network) for name in (GAMENET, LYRICNET, CNN)}
    heard = networks.recordings(of_system[CNN].model, data)
    pairs = list(RIVALS)
    for name, (parent, change) in VARIANTS.items():
        if isinstance(of_system[parent].model, SpectrogramCNN) and not heard:
            print(f"{name}: no recordings, left out")
            continue
        config = change(of_system[parent])
        seeds = [s for s in config.seeds if s in run.config.seeds]

        def fit_predict(part: Part, config=config, seeds=seeds) -> np.ndarray:
            blocks = networks.stored(config, TRACK, data) | networks.from_labels(config, TRACK, data, part)
            fitted = [networks.fit(config, blocks, data.labels, part.train, s) for s in seeds]
            return np.stack([f.predict(blocks, part.query) for f in fitted], axis=1)

        inner = Part("inner", "", part.train, part.query)
        [(_, table)] = cross_fit(run.folder / name.replace(" ", "_"), data.ids, [inner], fit_predict)
        predicted[name] = table.to_numpy()
        pairs.append((parent, name))
    artist = data.users[part.query]
    table = side_by_side(metric, data.labels[part.query], predicted, pairs, artist)
    codes = words_given_back(of_system[LYRICNET], data, part, run.config.seeds)
    for name, made in (("ingredients", table), ("codes", codes)):
        with replacing(run.folder / f"{name}.csv") as aside:
            made.round(4).to_csv(aside, index=False)
    found = claims(table, metric)
    if len(codes):
        ours, theirs = codes["autoencoder"].mean(), codes["components"].mean()
        claim = "LyricsAENet gives words back within 5 % of principal components, or better"
        numbers = f"mean squared error {ours:.3f} and {theirs:.3f}"
        found.append({"claim": claim, "answer": "yes" if ours <= 1.05 * theirs else "no", "numbers": numbers})
    say(found)
    return {"answers": found}


def words_given_back(config: Network, data: Data, part: Part, seeds: tuple[int, ...]) -> pd.DataFrame:
    """A row a seed: mean squared error of the holdout's word vectors by LyricsAENet and by as many components."""
    only = replace(config, model=LyricNet(groups=(("lyrics",),), tied=(True,)), features=("lyrics",), label_features=())
    only, rows = replace(only, steps=1), []
    blocks = networks.stored(only, TRACK, data)
    there = blocks["lyrics"].dense()[:, blocks["lyrics"].names.index("lyrics_there")] > 0
    train, query = part.train[there[part.train]], part.query[there[part.query]]
    for seed in seeds if len(train) > 100 and len(query) else ():
        fitted = networks.fit(only, blocks, data.labels, train, seed)
        coders = fitted.network.first.eval()
        with torch.no_grad():
            a, b = (coders.inputs(networks.tensors_of(fitted.columns, blocks, r))[0] for r in (train, query))
            ours = coders.coders[0].loss(b).mean().item()
        mean = a.mean(0)
        axes = torch.linalg.svd(a - mean, full_matrices=False)[2][: coders.widths[0]]
        rest = (b - mean) - (b - mean) @ axes.T @ axes
        rows.append(
            {"seed": seed, "size": coders.widths[0], "autoencoder": ours, "components": (rest**2).mean().item()}
        )
    return pd.DataFrame(rows, columns=["seed", "size", "autoencoder", "components"])


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, {"seeds": (0, 1)})
