"""Splits that take no encoder: the first feature tells the label, siblings share their prompt."""

import numpy as np

from benchmarks.labelling.material import Material
from nines.statistics.labelled import LabelledRows


def split(rows: int, *, seed: int) -> Material:
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.4).astype(np.int8)
    features = rng.normal(size=(rows, 5)).astype(np.float32)
    features[:, 0] += 3 * labels
    sources = np.where(np.arange(rows) % 2 == 0, "generated", "plain")
    weights = np.where(sources == "generated", 1.0, 0.0)
    ids = np.array([f"{seed}-{row}" for row in range(rows)])
    return Material(features, LabelledRows(labels, np.arange(rows) // 5, sources, weights), ids)


def splits() -> dict[str, Material]:
    return {"train": split(200, seed=0), "valid": split(120, seed=1), "test": split(120, seed=2)}
