"""How many labels an interval of quality of a wanted width takes, with and without the pairs that need none."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from nines.statistics.quality import expected_ends


@dataclasses.dataclass(frozen=True)
class LabelsNeeded:
    """The price of an interval of half width `half_width`.

    Attributes:
        half_width: Wanted half width of the interval, in shares: 0.05 for ± 5 percentage points.
        rejected: Share of the unfiltered completions that the filter rejects.
        ties: Share of ties among judged pairs.
        design_effect: By how much pairs of one prompt inflate the variance.
        pairs: Pairs to draw when those that are both accepted count ½.
        labels: Of these, how many need a label.
        labels_of_all: Labels for the same width if every pair is labelled.
    """

    half_width: float
    rejected: float
    ties: float
    design_effect: float
    pairs: int
    labels: int
    labels_of_all: int

    @property
    def saving(self) -> float:
        """Labels of all over labels needed."""
        return self.labels_of_all / self.labels


def labels_needed(
    half_width: float,
    *,
    rejected: float,
    ties: float = 0.0,
    gain: float = 0.0,
    pairs_per_prompt: int = 1,
    correlation: float = 0.0,
    confidence: float = 0.95,
) -> LabelsNeeded:
    """Pairs and labels until the interval of `nines.statistics.quality.quality` is as narrow as wanted.

    Computed from that very interval at the expected numbers of wins and losses, so it holds also where only a few
    labels are needed and the normal approximation `z² variance / half_width²` promises too much. A pair counts ½ and
    has no variance if it is both accepted; in the limit that takes `rejected` times the pairs and `rejected²` times
    the labels. Pairs of one prompt count for less by the design effect `1 + (m - 1) c`, with m pairs a prompt and
    intra-class correlation c (Kish 1965). In one data set the interval is sometimes wider, sometimes narrower.

    Args:
        half_width: In (0, ½).
        rejected: In (0, 1]; 1 where no pair can be skipped, as with a distilled policy.
        ties: In [0, 1).
        gain: Quality of the filtered against rejected completions, minus ½, in (-½, ½); 0 asks for the most labels.
        pairs_per_prompt: At least 1.
        correlation: Intra-class correlation of pairs of one prompt, in [0, 1].
        confidence: In (0, 1).

    Raises:
        ValueError: A value is out of range, or ties and gain contradict each other.
    """
    limits = {
        "half_width": (half_width, 0, 0.5),
        "rejected": (rejected, 0, 1 + 1e-12),
        "confidence": (confidence, 0, 1),
    }
    for name, (value, low, high) in limits.items():
        if not low < value < high:
            raise ValueError(f"{name} must lie between {low} and {high:g}, got {value}")
    if not 0 <= ties < 1 or not 0 <= correlation <= 1 or pairs_per_prompt < 1:
        raise ValueError("ties must lie in [0, 1), correlation in [0, 1], pairs_per_prompt be at least 1")
    if 2 * abs(gain) > 1 - ties:
        raise ValueError(f"with {ties:.0%} ties quality among rejected lies within ½ ± {(1 - ties) / 2:g}")
    effect = 1 + (pairs_per_prompt - 1) * correlation
    even = (1 - ties) / 2
    options = {"half_width": half_width, "confidence": confidence, "effect": effect}
    pairs = _pairs_needed(rejected * (even + gain), rejected * (even - gain), **options)
    of_all = _pairs_needed(even + rejected * gain, even - rejected * gain, **options)
    return LabelsNeeded(
        half_width=half_width,
        rejected=rejected,
        ties=ties,
        design_effect=effect,
        pairs=pairs,
        labels=math.ceil(pairs * rejected),
        labels_of_all=of_all,
    )


def _pairs_needed(wins: float, losses: float, *, half_width: float, confidence: float, effect: float) -> int:
    """The least number of pairs whose expected interval is narrow enough, by doubling and halving."""

    def too_wide(pairs: int) -> bool:
        independent = pairs / effect
        below, above = expected_ends(wins, losses, independent, confidence=confidence)
        return above - below > 2 * half_width

    high = 1
    while too_wide(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if too_wide(middle) else (low, middle)
    return high


def power_table(
    half_widths: Sequence[float],
    rejected: Sequence[float],
    *,
    ties: float = 0.0,
    pairs_per_prompt: int = 1,
    correlation: float = 0.0,
    confidence: float = 0.95,
) -> str:
    """`labels_needed` for every combination, in Markdown."""
    lines = [
        "| ± | rejected | pairs to draw | labels needed | labels of all pairs | saving |",
        "|---|---|---|---|---|---|",
    ]
    for width, share in itertools.product(half_widths, rejected):
        found = labels_needed(
            width, rejected=share, ties=ties, pairs_per_prompt=pairs_per_prompt, correlation=correlation,
            confidence=confidence,
        )  # fmt: skip
        lines.append(
            f"| {100 * width:g} % | {100 * share:g} % | {found.pairs:,} | {found.labels:,} | "
            f"{found.labels_of_all:,} | {found.saving:.1f} |"
        )
    return "\n".join(lines)
