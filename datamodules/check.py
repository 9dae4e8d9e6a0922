"""What `nines data check` reports of a data set: counts, balance, duplicates, leaks, lengths, weights. Figures only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.schema import LabelledCompletion, normalised
from datamodules.splitting import Leak, leaks, prompt_groups

# What cannot be done without a split, and with one class only.
WITHOUT = {
    "train": "there is nothing to train on",
    "valid": "training needs it for its objective and its threshold",
    "test": "the trained classifier cannot be measured",
}
ONE_CLASS = {
    "train": "there is nothing to tell apart",
    "valid": "no ranking metric and no threshold can be computed",
    "test": "either the misses or the false alarms cannot be measured",
}


@dataclass(frozen=True)
class Balance:
    """Rows of one split and source by label."""

    split: str
    source: str
    yes: int
    no: int
    unsure: int

    @property
    def total(self) -> int:
        """All rows."""
        return self.yes + self.no + self.unsure

    @property
    def injurious_share(self) -> float:
        """Share of `yes` among the certain rows, nan without any."""
        certain = self.yes + self.no
        return self.yes / certain if certain else float("nan")

    @property
    def unsure_share(self) -> float:
        """Share of `unsure` among all rows."""
        return self.unsure / self.total


@dataclass(frozen=True)
class Duplicate:
    """Rows that say the same.

    Attributes:
        prompt: Of the first of them.
        completion: Of the first of them.
        exact: Whether the texts are equal; otherwise they differ in case or white space.
        places: Split and id of each.
        labels: The labels that they carry; more than one is a contradiction.
    """

    prompt: str
    completion: str
    exact: bool
    places: tuple[tuple[str, str], ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Lengths:
    """Quantiles of the lengths of some texts, and how many reach a limit."""

    split: str
    what: str
    median: float
    high: float
    longest: int
    at_limit: int = 0


@dataclass(frozen=True)
class NaturalWeights:
    """How far the generated rows of one split, with their selection weights, speak for nature.

    Attributes:
        split: Name of the split.
        positives: Generated rows that are certainly injurious.
        effective_positives: Kish's effective number of them, `(sum w)^2 / sum w^2`: what their weights leave.
        largest_share: Share of the positives' weight that one row carries.
        prevalence: Weighted share of injurious rows among the certain ones.
        unsure_weight: Weight of the unsure rows, in units of the injurious rows' weight.
    """

    split: str
    positives: int
    effective_positives: float
    largest_share: float
    prevalence: float
    unsure_weight: float


@dataclass(frozen=True)
class DataReport:
    """All that `check` found."""

    prompts: Mapping[str, int]
    balances: Sequence[Balance]
    duplicates: Sequence[Duplicate]
    repeated_ids: Sequence[str]
    leaks: Sequence[Leak]
    lengths: Sequence[Lengths]
    natural: Sequence[NaturalWeights]


def check(splits: Mapping[str, Sequence[LabelledCompletion]]) -> DataReport:
    """Look through the rows of all splits."""
    ids = Counter(row.id for rows in splits.values() for row in rows)
    return DataReport(
        prompts={name: len(set(prompt_groups(rows))) for name, rows in splits.items()},
        balances=[balance for name, rows in splits.items() for balance in _balances(name, rows)],
        duplicates=duplicates(splits),
        repeated_ids=[name for name, count in ids.items() if count > 1],
        leaks=leaks(splits),
        lengths=[length for name, rows in splits.items() for length in _word_lengths(name, rows)],
        natural=[found for name, rows in splits.items() if (found := natural_weights(name, rows)) is not None],
    )


def shortcomings(splits: Mapping[str, Sequence[LabelledCompletion]]) -> list[str]:
    """What the rows lack for training and testing: whole splits, or one of the two classes."""
    lines = [f"there is no {name} split: {WITHOUT[name]}" for name in WITHOUT if name not in splits]
    for name in (name for name in WITHOUT if name in splits):
        injurious = sum(row.label == "yes" for row in splits[name])
        safe = sum(row.label == "no" for row in splits[name])
        for count, kind in ((injurious, "injurious row (yes)"), (safe, "safe row (no)")):
            if count == 0:
                lines.append(f"{name} has no {kind} among {injurious + safe} certain ones: {ONE_CLASS[name]}")
    return lines


def duplicates(splits: Mapping[str, Sequence[LabelledCompletion]]) -> list[Duplicate]:
    """Rows with the same prompt and completion but for case and white space, within and across splits."""
    together: dict[tuple[str, str], list[tuple[str, LabelledCompletion]]] = defaultdict(list)
    for split, rows in splits.items():
        for row in rows:
            together[normalised(row.prompt), normalised(row.completion)].append((split, row))
    return [
        Duplicate(
            prompt=found[0][1].prompt,
            completion=found[0][1].completion,
            exact=len({(row.prompt, row.completion) for _, row in found}) == 1,
            places=tuple((split, row.id) for split, row in found),
            labels=tuple(sorted({row.label for _, row in found})),
        )
        for found in together.values()
        if len(found) > 1
    ]


def length_summary(split: str, what: str, lengths: NDArray[np.int64], *, limit: int | None = None) -> Lengths:
    """Median, 95 % quantile and maximum of `lengths`, and how many are at `limit` or above."""
    return Lengths(
        split=split,
        what=what,
        median=float(np.median(lengths)),
        high=float(np.quantile(lengths, 0.95)),
        longest=int(lengths.max()),
        at_limit=0 if limit is None else int((lengths >= limit).sum()),
    )


def natural_weights(split: str, rows: Sequence[LabelledCompletion]) -> NaturalWeights | None:
    """How the weight of the natural sample is spread, None when no row of `split` belongs to one."""
    weights = np.array([row.natural_weight for row in rows])
    labels = np.array([row.label_number for row in rows])
    if not (weights > 0).any():
        return None
    positive, negative, unsure = (weights[(labels == label) & (weights > 0)] for label in (1, 0, -1))
    total = float(positive.sum())
    certain = total + float(negative.sum())
    return NaturalWeights(
        split=split,
        positives=len(positive),
        effective_positives=total**2 / float((positive**2).sum()) if total else 0.0,
        largest_share=float(positive.max()) / total if total else float("nan"),
        prevalence=total / certain if certain else float("nan"),
        unsure_weight=float(unsure.sum()) / total if total else float("nan"),
    )


def _balances(split: str, rows: Sequence[LabelledCompletion]) -> list[Balance]:
    counts = Counter((row.source, row.label) for row in rows)
    sources = sorted({row.source for row in rows})
    each = [
        Balance(split, source, counts[source, "yes"], counts[source, "no"], counts[source, "unsure"])
        for source in sources
    ]
    if len(each) == 1:
        return each
    whole = Balance(split, "all", sum(b.yes for b in each), sum(b.no for b in each), sum(b.unsure for b in each))
    return [*each, whole]


def _word_lengths(split: str, rows: Sequence[LabelledCompletion]) -> list[Lengths]:
    return [
        length_summary(split, "prompt, words", np.array([len(row.prompt.split()) for row in rows])),
        length_summary(split, "completion, words", np.array([len(row.completion.split()) for row in rows])),
    ]
