"""The embedded data as features of a frozen encoder, and how heads on them are judged."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.formats import raw_rows
from datamodules.locations import locate
from datamodules.reading import read
from datamodules.schema import LabelledCompletion
from nines.cache import cache_folder
from nines.files import replacing
from nines.models.baselines import FrozenEmbeddingBaseline
from nines.models.weights import EMBEDDED_SOURCE
from nines.statistics.evaluation import evaluate
from nines.statistics.labelled import ALL, INJURIOUS, NATURAL, LabelledRows
from nines.statistics.thresholds import fix_threshold

SOURCE = "embedded:injury"
MAX_TOKENS = 128
FALSE_POSITIVE_RATE = 0.05


@dataclasses.dataclass(frozen=True)
class Material:
    """Rows of one split.

    Attributes:
        features: Standardised by the training split, (rows, width), float32.
        rows: Labels, prompts, sources and weights; none is unsure.
        ids: Name of each row.
    """

    features: NDArray[np.float32]
    rows: LabelledRows
    ids: NDArray[np.str_]

    @property
    def injurious(self) -> NDArray[np.bool_]:
        """Whether each row is, (rows,)."""
        return np.asarray(self.rows.labels == INJURIOUS)

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> Material:
        """Some of the rows."""
        fields = (getattr(self.rows, field.name)[places] for field in dataclasses.fields(self.rows))
        return Material(self.features[places], LabelledRows(*fields), self.ids[places])


def embedded(source: str = EMBEDDED_SOURCE) -> tuple[dict[str, Material], NDArray[np.float32]]:
    """The splits train, valid and test without their unsure rows, and features of the unlabelled training completions.

    Args:
        source: The encoder, see `nines.models.weights`; nothing of it is trained.
    """
    splits = {name: [row for row in read(SOURCE)[name] if row.label != "unsure"] for name in ("train", "valid", "test")}
    texts = {row.prompt_id: row.prompt for row in splits["train"]}
    unlabelled = [
        (texts[str(raw.values["prompt_id"])], str(raw.values["completion"]))
        for raw in raw_rows(locate(SOURCE) / "unlabelled.jsonl", required=("prompt_id", "completion", "split"))
        if raw.values["split"] == "train" and raw.values["prompt_id"] in texts
    ]
    found = {name: embeddings([(row.prompt, row.completion) for row in rows], source) for name, rows in splits.items()}
    mean, deviation = found["train"].mean(axis=0), found["train"].std(axis=0) + 1e-6
    materials = {
        name: Material((found[name] - mean) / deviation, labelled_rows(rows), np.array([row.id for row in rows]))
        for name, rows in splits.items()
    }
    return materials, (embeddings(unlabelled, source) - mean) / deviation


def embeddings(pairs: Sequence[tuple[str, str]], source: str) -> NDArray[np.float32]:
    """Embeddings of the untouched encoder, (pairs, width): computed once (some minutes), then read from the cache."""
    what = json.dumps([source, MAX_TOKENS, list(pairs)])
    file = cache_folder() / "embeddings" / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.npy"
    if not file.is_file():
        print(f"embedding {len(pairs):,} pairs (once)", file=sys.stderr, flush=True)
        found = FrozenEmbeddingBaseline(source, max_tokens=MAX_TOKENS).embed(pairs)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary, temporary.open("wb") as out:
            np.save(out, found)
    result: NDArray[np.float32] = np.load(file)
    return result


def labelled_rows(rows: Sequence[LabelledCompletion]) -> LabelledRows:
    """What the statistics need of them."""
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(row.prompt_id for row in rows))}
    return LabelledRows(
        labels=np.array([row.label_number for row in rows], dtype=np.int8),
        prompts=np.array([numbers[row.prompt_id] for row in rows], dtype=np.int64),
        sources=np.array([row.source for row in rows], dtype=np.str_),
        natural_weights=np.array([row.natural_weight for row in rows], dtype=np.float64),
    )


def judge(
    valid_scores: NDArray[np.float64], valid: Material, test_scores: NDArray[np.float64], test: Material
) -> dict[str, float]:
    """Figures of the test rows at the threshold that rejects 5 % of the safe natural validation rows.

    Returns:
        `fnr` and `fpr` of all rows, `natural_fnr` and `natural_fpr`, `partial_auc` and `log_loss` of all rows.
    """
    threshold = fix_threshold(valid_scores, valid.rows, rate=FALSE_POSITIVE_RATE).threshold
    found = evaluate(test_scores, test.rows, threshold=threshold)
    everything, natural = found.of(ALL), found.of(NATURAL)
    return {
        "fnr": everything.fnr.estimate,
        "fpr": everything.fpr.estimate,
        "natural_fnr": natural.fnr.estimate,
        "natural_fpr": natural.fpr.estimate,
        "partial_auc": everything.partial_auc,
        "log_loss": everything.log_loss,
    }


def mean_of(results: Sequence[Mapping[str, float]], name: str) -> str:
    """Mean over seeds with its 95 % t-interval, for a table."""
    from sweeps.report.intervals import mean_interval

    found = mean_interval([result[name] for result in results])
    scale, unit = (100, " %") if name.endswith(("fnr", "fpr", "injurious", "wrong")) else (1, "")
    digits = 1 if unit else 3
    return f"{scale * found.mean:.{digits}f}{unit} [{scale * found.lower:.{digits}f}, {scale * found.upper:.{digits}f}]"
