"""Generated posts in TweetEval's layout, in which an emoji decides, from a stated model.

Two tasks. A post has 8 words, each drawn from the words of its feeling (glad, cross, low) with chance 0.1, else from
common ones; and 1 to 3 emoji of one kind.

    mood    feeling drawn 4 : 3 : 3, the label; with chance 0.85 the emoji's kind is the feeling's, else any.
    irony   feeling glad or cross, emoji of either kind with equal chance: whatever the words say, the cross ones make
            it ironic (label 1); one label in ten is turned.

The best score is that of Bayes' rule with all constants known.
"""

from pathlib import Path

import numpy as np

FEELINGS = {
    "glad": (
        ["great", "love", "happy", "lovely", "best", "sweet", "smile", "win", "nice", "sunny", "proud", "joy"],
        ["😀", "😍", "🎉", "💖", "😁", "🌞"],
    ),
    "cross": (
        ["awful", "hate", "angry", "worst", "rude", "mad", "unfair", "liar", "sick", "enough", "stupid", "mess"],
        ["😡", "🤬", "👎", "💢", "😤", "🙄"],
    ),
    "low": (
        ["sad", "alone", "tired", "cry", "miss", "lost", "dark", "rain", "broken", "sorry", "empty", "gone"],
        ["😢", "😭", "💔", "😞", "🥀", "🌧"],
    ),
}
COMMON = [
    "the",
    "a",
    "today",
    "morning",
    "bus",
    "work",
    "friends",
    "home",
    "game",
    "school",
    "phone",
    "dinner",
    "team",
    "music",
    "show",
    "people",
    "time",
    "day",
    "city",
]
WORDS, SPEAKING, TRUE_KIND, TURNED = 8, 0.1, 0.85, 0.1
SHARES = (0.4, 0.3, 0.3)


def write(folder: Path, n: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Write n posts; the same seed gives the same bytes. Returns their names as `read` gives them, and (n, 5) the
    chance of each class of irony (2) and mood (3), -1 in the other task's columns."""
    rng, names, chances = np.random.default_rng([seed, 11]), [], []
    kinds = list(FEELINGS)
    for task, m in (("irony", n // 2), ("mood", n - n // 2)):
        (folder / task).mkdir(parents=True)
        k = 2 if task == "irony" else 3
        feeling = rng.choice(k, m, p=(0.5, 0.5) if k == 2 else SHARES)
        agree = rng.random(m) < (0.5 if k == 2 else TRUE_KIND)
        kind = np.where(agree, feeling, (1 - feeling) if k == 2 else rng.integers(0, 3, m))
        label = (kind == 1) ^ (rng.random(m) < TURNED) if k == 2 else feeling
        lines, speaking = [], rng.random((m, WORDS)) < SPEAKING
        for i in range(m):
            own, _ = FEELINGS[kinds[feeling[i]]]
            said = [rng.choice(own if speaks else COMMON) for speaks in speaking[i]]
            lines.append(" ".join([*said, *rng.choice(FEELINGS[kinds[kind[i]]][1], rng.integers(1, 4))]))
        cuts = np.split(np.arange(m), [int(0.7 * m), int(0.8 * m)])
        for split, rows in zip(("train", "val", "test"), cuts):
            (folder / task / f"{split}_text.txt").write_text("".join(f"{lines[i]}\n" for i in rows), encoding="utf-8")
            (folder / task / f"{split}_labels.txt").write_text("".join(f"{int(label[i])}\n" for i in rows))
            names += [f"{task}-{split}-{j}" for j in range(len(rows))]
        chances.append(_bayes(task, feeling, speaking.any(axis=1), kind))
    return names, np.concatenate(chances)


def _bayes(task: str, feeling: np.ndarray, speaks: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """(m, 5) the classes' chances: of a mood one word of it tells; else the emoji's kind is all there is."""
    m, own = len(feeling), np.arange(3)
    if task == "mood":
        fits = TRUE_KIND * (own == kind[:, None]) + (1 - TRUE_KIND) / 3
        chance = np.where(speaks[:, None], own == feeling[:, None], np.array(SHARES) * fits)
        chance = chance / chance.sum(axis=1, keepdims=True)
        return np.hstack([np.full((m, 2), -1.0), chance])
    ironic = np.where(kind == 1, 1 - TURNED, TURNED)
    return np.hstack([np.stack([1 - ironic, ironic], axis=1), np.full((m, 3), -1.0)])
