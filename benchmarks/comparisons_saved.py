"""The labels saved by skipping pairs that are both accepted: `python -m benchmarks.comparisons_saved`.

On the embedded data's test prompts, with all sampled completions of a prompt as its base policy. Prints

1. the exact expectation of quality with all labels and with ½ for pairs that are both accepted, enumerated over every
   pair of completions, judged by a rule that needs no training (the shorter completion is better), and what labels the
   same width takes;
2. the same by drawing pairs, with the spread of both estimates over replications;
3. quality from the judged comparisons of validation and test, with and without skipping.

The classifier is logistic regression on TF-IDF, fitted in seconds on the training split; `--classifier RUN` takes a
trained one. The threshold rejects the share `--rejected` of validation's completions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.comparison_reading import read_comparisons
from datamodules.comparison_schema import Comparison
from datamodules.formats import raw_rows
from datamodules.locations import locate
from datamodules.reading import read
from nines.statistics.accepted_pairs import needs_label, quality_from_needed, saving
from nines.statistics.quality import quality, shares_of_outcomes, shares_of_scores

SOURCE = "embedded:injury"
Scorer = Callable[[Sequence[tuple[str, str]]], NDArray[np.float64]]
OUTCOMES = {"a": 1, "tie": 0, "b": -1}


def pools(split: str) -> dict[str, list[str]]:
    """Every sampled completion of each prompt of a split, labelled or not."""
    labelled = [row for row in read(SOURCE)[split] if row.source == "generated"]
    texts = {row.prompt_id: row.prompt for row in read(SOURCE)[split]}
    found: dict[str, list[str]] = {}
    for row in labelled:
        found.setdefault(row.prompt, []).append(row.completion)
    for raw in raw_rows(locate(SOURCE) / "unlabelled.jsonl", required=("prompt_id", "completion", "split")):
        if raw.values["split"] == split and raw.values["prompt_id"] in texts:
            found.setdefault(texts[raw.values["prompt_id"]], []).append(raw.values["completion"])
    return {prompt: several for prompt, several in found.items() if len(several) > 1}


def tfidf(seed: int) -> Scorer:
    """Word counts fitted on the training split."""
    from nines.models.baselines import LabelledPairs, TfidfBaseline

    rows = read(SOURCE)

    def labelled(split: str) -> LabelledPairs:
        certain = [row for row in rows[split] if row.label != "unsure"]
        pairs = [(row.prompt, row.completion) for row in certain]
        return LabelledPairs(pairs, np.array([row.label == "yes" for row in certain]))

    return TfidfBaseline(seed=seed).fit(labelled("train"), labelled("valid")).scores


def trained(run: Path) -> Scorer:
    """A classifier that `nines train` made."""
    from lightning_modules.prediction import Predictor

    predictor = Predictor.load(run)
    return lambda pairs: predictor.scores(pairs, names=[f"pair {place}" for place in range(len(pairs))])


def expectations(
    accepted: Sequence[NDArray[np.bool_]], lengths: Sequence[NDArray[np.float64]]
) -> tuple[float, float, float]:
    """Exact quality with all labels and with skipping, and the share of pairs that need a label; prompts alike.

    Filtered and unfiltered completion are independent draws from the pool, the filtered one given acceptance.
    """
    rows = []
    for one, size in zip(accepted, lengths, strict=True):
        shares = (size[one][:, None] < size[None, :]) + 0.5 * (size[one][:, None] == size[None, :])
        skipped = np.where(one[None, :], 0.5, shares)
        rows.append((shares.mean(), skipped.mean(), 1 - one.mean()))
    found = np.array(rows).mean(axis=0)
    return float(found[0]), float(found[1]), float(found[2])


def drawn(
    accepted: Sequence[NDArray[np.bool_]],
    lengths: Sequence[NDArray[np.float64]],
    *,
    replications: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """One pair a prompt again and again: shares and whether a label is needed, `(replications, prompts)`."""
    shares = np.empty((replications, len(accepted)))
    needed = np.empty(shares.shape, dtype=np.bool_)
    for place, (one, size) in enumerate(zip(accepted, lengths, strict=True)):
        unfiltered = rng.integers(0, len(one), replications)
        filtered = rng.choice(np.flatnonzero(one), replications)
        shares[:, place] = shares_of_scores(-size[filtered], -size[unfiltered])
        needed[:, place] = needs_label(one[filtered], one[unfiltered])
    return shares, needed


def judged(
    scorer: Scorer, threshold: float, acceptance: dict[str, float]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.str_], NDArray[np.float64]]:
    """The judged comparisons as pairs (filtered, unfiltered), either completion being the filtered one if accepted.

    A base draw stands for the filtered completion with weight one over the prompt's acceptance: rejection sampling
    gives each prompt one delivered completion, however many it accepts.
    """
    rows: list[Comparison] = [row for split in ("valid", "test") for row in read_comparisons(SOURCE)[split]]
    one = scorer([(row.prompt, row.a) for row in rows]) < threshold
    other = scorer([(row.prompt, row.b) for row in rows]) < threshold
    shares = shares_of_outcomes([OUTCOMES[row.preference] for row in rows])
    prompts = np.array([row.prompt for row in rows])
    # A prompt whose every completion is rejected never delivers, so it carries no weight whatever this says.
    weights = np.array([1 / acceptance[row.prompt] if acceptance.get(row.prompt) else 0.0 for row in rows])
    return (
        np.concatenate([shares, 1 - shares]),
        needs_label(np.concatenate([one, other]), np.concatenate([other, one])),
        np.concatenate([prompts, prompts]),
        np.concatenate([one * weights, other * weights]),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run and print; 1 if the two expectations differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", type=Path, help="a run folder of `nines train` instead of TF-IDF")
    parser.add_argument("--rejected", type=float, nargs="+", default=[0.1, 0.3, 0.5], help="shares (0.1 0.3 0.5)")
    parser.add_argument("--replications", type=int, default=2000, help="of drawing pairs (2000)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    options = parser.parse_args(arguments)
    scorer = trained(options.classifier) if options.classifier else tfidf(options.seed)
    pool_of = {split: pools(split) for split in ("valid", "test")}
    scores = {
        split: [scorer([(prompt, text) for text in several]) for prompt, several in pool.items()]
        for split, pool in pool_of.items()
    }
    same = True
    print("| rejected | quality, all labels | skipping | sd, all | sd, skipping | labels saved | to the same width |")
    print("|---" * 7 + "|")
    thresholds = np.quantile(np.concatenate(scores["valid"]), [1 - share for share in options.rejected])
    for threshold in thresholds:
        kept = [one < threshold for one in scores["test"]]
        sizes = [np.array([len(text) for text in several], dtype=np.float64) for several in pool_of["test"].values()]
        # Prompts that never deliver are no prompts of the filtered policy.
        delivering = [(one, size) for one, size in zip(kept, sizes, strict=True) if one.any()]
        accepted, lengths = [one for one, _ in delivering], [size for _, size in delivering]
        all_labels, skipping, rejected = expectations(accepted, lengths)
        same &= abs(all_labels - skipping) < 1e-12
        rng = np.random.default_rng(options.seed)
        shares, needed = drawn(accepted, lengths, replications=options.replications, rng=rng)
        spread = shares.mean(axis=1).std(), np.where(needed, shares, 0.5).mean(axis=1).std()
        fewer = 1 - needed.mean()
        ratio = (spread[0] / spread[1]) ** 2 / needed.mean()
        print(
            f"| {rejected:.1%} | {all_labels:.6f} | {skipping:.6f} | {spread[0]:.4f} | {spread[1]:.4f} "
            f"| {fewer:.1%} | {ratio:.1f} times fewer |"
        )
    print("\nquality by the judged comparisons of validation and test (labels by language models):\n")
    for threshold in thresholds:
        acceptance = {
            prompt: float((one < threshold).mean())
            for split in ("valid", "test")
            for prompt, one in zip(pool_of[split], scores[split], strict=True)
        }
        found, wanted, prompts, weights = judged(scorer, threshold, acceptance)
        everything = quality(found, prompts, weights=weights)
        less = quality_from_needed(found, wanted, prompts, weights=weights)
        saved = saving(found, wanted & (weights > 0), weights=weights)
        print(
            f"rejected {saved.rejected:.1%}: all labels {everything}, skipping {less}, "
            f"{int((weights > 0).sum())} pairs of which {int((wanted & (weights > 0)).sum())} need a label"
        )
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
