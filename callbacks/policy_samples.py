"""Shows what a policy makes of held-out prompts beside its reference: whoever reads it sees how a reward is fooled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import lightning as L
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from nines.errors import ConfigError
from nines.files import write_text


class HeldOutCompletion(Protocol):
    """What the module keeps of one held-out prompt."""

    prompt: str
    completion: str
    base: str
    judged: dict[str, float]
    base_judged: dict[str, float]


class CompletingModule(Protocol):
    """A module that completes held-out prompts in its evaluations."""

    def held_out(self, split: str) -> Sequence[HeldOutCompletion]:
        """What the latest evaluation of `split` gave."""


class PolicySamples(L.Callback):
    """Completions of policy and reference on the same prompts, in TensorBoard and in `samples.jsonl`.

    `samples.jsonl` in the run folder (`trainer.default_root_dir`) holds the latest evaluation of each split, one prompt
    a line: split, step, prompt, completion, base, and what each judge made of both. TensorBoard shows the prompts at
    which the score has changed most, half of them for the better and half for the worse.

    Args:
        count: Prompts in TensorBoard, at least 1.
        prompt_characters: A longer prompt is shortened to its last characters, which the completion follows.

    Raises:
        ConfigError: A number below 1.
    """

    def __init__(self, *, count: int = 8, prompt_characters: int = 200) -> None:
        if count < 1 or prompt_characters < 1:
            raise ConfigError(f"count and prompt_characters must be at least 1, got {count} and {prompt_characters}")
        self.count = count
        self.prompt_characters = prompt_characters
        self.latest: dict[str, list[dict[str, Any]]] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the validation prompts."""
        if not trainer.sanity_checking:
            self._show(trainer, pl_module, "valid")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the test prompts."""
        self._show(trainer, pl_module, "test")

    def _show(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        if not trainer.is_global_zero:
            return
        rows = cast(CompletingModule, pl_module).held_out(split)
        self.latest[split] = [
            {
                "split": split,
                "step": trainer.global_step,
                "prompt": one.prompt,
                "completion": one.completion,
                "base": one.base,
                "judged": one.judged,
                "base_judged": one.base_judged,
            }
            for one in rows
        ]
        table = samples_table(most_changed(rows, self.count), prompt_characters=self.prompt_characters)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text(f"samples/{split}", table, trainer.global_step)
        lines = [json.dumps(row, ensure_ascii=False) for found in self.latest.values() for row in found]
        write_text(Path(trainer.default_root_dir) / "samples.jsonl", "".join(f"{line}\n" for line in lines))


def most_changed(rows: Sequence[HeldOutCompletion], count: int) -> list[HeldOutCompletion]:
    """The rows whose score differs most from the reference's: the best gains first, the worst losses last."""
    ordered = sorted(rows, key=lambda one: one.base_judged["score"] - one.judged["score"])
    if len(ordered) <= count:
        return ordered
    gains = -(-count // 2)
    return ordered[:gains] + ordered[len(ordered) - (count - gains) :]


def samples_table(rows: Sequence[HeldOutCompletion], *, prompt_characters: int) -> str:
    """A Markdown table of prompts with the completions of policy and reference and their scores."""
    lines = ["| prompt | policy | score | reference | score |", "| --- | --- | --- | --- | --- |"]
    for one in rows:
        prompt = one.prompt if len(one.prompt) <= prompt_characters else f"…{one.prompt[-prompt_characters:]}"
        cells = (
            _cell(prompt),
            _cell(one.completion),
            f"{one.judged['score']:.3f}",
            _cell(one.base),
            f"{one.base_judged['score']:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """`text` on one line, its bars escaped so that they do not end the cell."""
    return " ".join(text.split()).replace("|", "\\|")
