"""Shows the completions on which the classifier errs most, as text: the surest way to see what it has not learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray

from callbacks.scored_rows import VALIDATION, labelled_data, scored_rows
from nines.errors import ConfigError
from nines.files import write_text
from nines.statistics.labelled import INJURIOUS, SAFE, LabelledRows
from nines.statistics.thresholds import fix_threshold

Mistake = dict[str, Any]


class WorstMistakes(L.Callback):
    """The worst false negatives and false positives of each source, in TensorBoard and in `mistakes.jsonl`.

    A mistake is one at the threshold that `Reliability` with the same arguments takes: fixed on the latest
    validation. The worst false negative is the injurious completion with the lowest score, the worst false positive
    the safe one with the highest. Unsure rows are no mistakes.

    `mistakes.jsonl` in the run folder (`trainer.default_root_dir`) holds one mistake a line: split, source, kind, place
    (1 is the worst), row (index in the split), score, threshold, prompt (shortened), completion.

    Args:
        count: How many of each kind to show for each source.
        false_positive_rate: Share of safe completions in [0, 1) that may be rejected.
        population: Whose safe rows fix the threshold: natural, all, or a source; None as for `Reliability`.
        prompt_characters: A longer prompt is shortened to its last characters, which the completion follows.

    Raises:
        ConfigError: A count or length below 1, or a rate outside [0, 1).
    """

    def __init__(
        self,
        *,
        count: int = 5,
        false_positive_rate: float = 0.05,
        population: str | None = None,
        prompt_characters: int = 200,
    ) -> None:
        if count < 1 or prompt_characters < 1:
            raise ConfigError(f"count and prompt_characters must be at least 1, got {count} and {prompt_characters}")
        if not 0.0 <= false_positive_rate < 1.0:
            raise ConfigError(f"false_positive_rate must lie in [0, 1), got {false_positive_rate}")
        self.count = count
        self.false_positive_rate = false_positive_rate
        self.population = population
        self.prompt_characters = prompt_characters
        self.mistakes: dict[str, list[Mistake]] = {}
        self._threshold: float | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fix the threshold anew and show the worst mistakes at it."""
        if trainer.sanity_checking:
            return
        scores, rows = scored_rows(trainer, pl_module, VALIDATION)
        fixed = fix_threshold(scores, rows, population=self.population, rate=self.false_positive_rate)
        self._threshold = fixed.threshold
        self.mistakes = {}
        self._show(trainer, scores, rows, split=VALIDATION, threshold=fixed.threshold)
        self._write(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the worst mistakes of every test split at the threshold of the latest validation.

        Raises:
            ConfigError: No validation came before.
        """
        if self._threshold is None:
            raise ConfigError(
                "there is no threshold for the test: it is fixed on validation data; run trainer.validate with the "
                "weights to be tested before trainer.test"
            )
        for split in labelled_data(trainer).splits("test"):
            scores, rows = scored_rows(trainer, pl_module, split)
            self._show(trainer, scores, rows, split=split, threshold=self._threshold)
        self._write(trainer)

    def _show(
        self, trainer: Trainer, scores: NDArray[np.float64], rows: LabelledRows, *, split: str, threshold: float
    ) -> None:
        if not trainer.is_global_zero:
            return
        found = worst_mistakes(scores, rows, threshold=threshold, count=self.count)
        texts = labelled_data(trainer).texts(split)
        for mistake in found:
            prompt, completion = texts[mistake["row"]]
            shortened = prompt if len(prompt) <= self.prompt_characters else f"…{prompt[-self.prompt_characters :]}"
            mistake |= {"split": split, "prompt": shortened, "completion": completion}
        self.mistakes[split] = found
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text(f"worst_mistakes/{split}", mistakes_table(found), trainer.global_step)

    def _write(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            lines = [json.dumps(mistake, ensure_ascii=False) for found in self.mistakes.values() for mistake in found]
            write_text(Path(trainer.default_root_dir) / "mistakes.jsonl", "".join(f"{line}\n" for line in lines))


def worst_mistakes(scores: NDArray[np.float64], rows: LabelledRows, *, threshold: float, count: int) -> list[Mistake]:
    """The `count` worst errors of each kind for each source, worst first.

    Args:
        scores: Score of each row, `(n,)`.
        rows: The rows.
        threshold: Accept if and only if the score is below it.
        count: How many of each kind for each source.

    Returns:
        For each: source, kind (false_negative, false_positive), place from 1, row, score, threshold.
    """
    kinds = (
        ("false_negative", (rows.labels == INJURIOUS) & (scores < threshold), scores),
        ("false_positive", (rows.labels == SAFE) & (scores >= threshold), -scores),
    )
    found: list[Mistake] = []
    for source in np.unique(rows.sources):
        for kind, wrong, badness in kinds:
            candidates = np.flatnonzero(wrong & (rows.sources == source))
            worst = candidates[np.argsort(badness[candidates], kind="stable")][:count]
            found += [
                {
                    "source": str(source),
                    "kind": kind,
                    "place": place,
                    "row": int(row),
                    "score": float(scores[row]),
                    "threshold": threshold,
                }
                for place, row in enumerate(worst, start=1)
            ]
    return found


def mistakes_table(mistakes: Sequence[Mistake]) -> str:
    """A Markdown table of mistakes, or a sentence when there are none."""
    if not mistakes:
        return "No mistake at this threshold."
    lines = ["| source | kind | score | prompt | completion |", "| --- | --- | --- | --- | --- |"]
    for mistake in mistakes:
        cells = (
            mistake["source"],
            mistake["kind"].replace("_", " "),
            f"{mistake['score']:.4f}",
            _cell(mistake["prompt"]),
            _cell(mistake["completion"]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """`text` on one line, its bars escaped so that they do not end the cell."""
    return " ".join(text.split()).replace("|", "\\|")
