"""Training throughput of `nines train` against transformers' `Trainer`: same encoder, rows and batch size.

    pip install '.[benchmarks]'
    python -m benchmarks.training_throughput --rounds 3

Each round trains every variant once, one after the other in one process; the figure is the median over rounds of the
ratio within a round. Only the loop of the fit is timed, between the same two events on both sides: no loading, no
tokenising, no validation.

The default against the default says what a user gets. It mixes precision, bucketing, dropout and a narrowed last
layer, so the variants beside it change one thing at a time, and two pairs have equal precision, bucketing, dropout,
pooling and head.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
)
from transformers import TrainingArguments as Arguments

from apps.config import compose
from apps.training import assemble, resolve_precision
from benchmarks.paired import Clock, Speed, add_common_arguments, print_ratios, run_rounds, write_figures
from datamodules.completions import LabelledCompletions
from nines.models.weights import EMBEDDED_SOURCE, resolve
from nines.run_folder import RunFolder

MAX_TOKENS = 128


class FitTimer(L.Callback):
    """Times the loop of a fit."""

    def __init__(self) -> None:
        self.clock = Clock()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.clock.start()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock."""
        self.clock.stop()


class TrainTimer(TrainerCallback):
    """Times the loop of `Trainer.train`, without what it sets up before."""

    def __init__(self) -> None:
        self.clock = Clock()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.clock.start()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop the clock."""
        self.clock.stop()


def ours(*overrides: str, rows: int, batch: int) -> tuple[Speed, int]:
    """One epoch of `nines train` with its default callbacks and logger.

    Returns:
        Its speed, and the number of trained parameters.
    """
    common = [
        f"datamodule.limit_rows={rows}",
        f"datamodule.batch_size={batch}",
        f"module.model.max_tokens={MAX_TOKENS}",
        "trainer.max_epochs=1",
        "trainer.limit_val_batches=0",
        "trainer.enable_progress_bar=false",
        "module.model.freeze_layers=0",
    ]
    with tempfile.TemporaryDirectory() as folder:
        config = compose("train", [*common, *overrides])
        resolve_precision(config)
        timer = FitTimer()
        trainer, module, data = assemble(config, folder=RunFolder(Path(folder)), extra=[timer])
        trainer.fit(module, datamodule=data)
        assert isinstance(data, LabelledCompletions)
        return timer.clock.speed(data.class_counts().total), trained_parameters(module)


def theirs(*, rows: int, batch: int, **options: Any) -> tuple[Speed, int]:
    """One epoch of transformers' Trainer at its defaults but for `options`.

    Returns:
        Its speed, and the number of trained parameters.
    """
    data = LabelledCompletions(tokenizer=EMBEDDED_SOURCE, max_tokens=MAX_TOKENS, limit_rows=rows)
    folder = resolve(EMBEDDED_SOURCE)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    certain = [
        (pair, int(label))
        for pair, label in zip(data.texts("train"), data.rows("train").labels, strict=True)
        if label >= 0
    ]
    assert len(certain) == data.class_counts().total  # both sides train on the same rows
    tokenizer.truncation_side = "left"
    encoded = tokenizer(
        [prompt for (prompt, _), _ in certain],
        [completion for (_, completion), _ in certain],
        truncation="only_first",
        max_length=MAX_TOKENS,
    )
    examples = [
        {**{name: encoded[name][index] for name in encoded}, "labels": label}
        for index, (_, label) in enumerate(certain)
    ]
    model = AutoModelForSequenceClassification.from_pretrained(str(folder), num_labels=2)
    timer = TrainTimer()
    with tempfile.TemporaryDirectory() as output:
        arguments = Arguments(
            output_dir=output,
            per_device_train_batch_size=batch,
            num_train_epochs=1,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            disable_tqdm=True,
            **options,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=examples,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[timer],
        )
        trainer.train()
    return timer.clock.speed(len(examples)), trained_parameters(model)


def trained_parameters(model: torch.nn.Module) -> int:
    """How many numbers the optimizer changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


FP32 = "trainer.precision=32-true"
# BertForSequenceClassification reads the first token through a layer with tanh, all in the model's own dropout.
ALIKE = ("dropout=model", "module.model.pooling=cls", "module.model.head_hidden=384")

VARIANTS: dict[str, Callable[..., tuple[Speed, int]]] = {
    "Trainer": theirs,
    "Trainer, bucketed": partial(theirs, train_sampling_strategy="group_by_length"),
    "Trainer, bf16, bucketed": partial(theirs, bf16=True, train_sampling_strategy="group_by_length"),
    "nines": ours,
    "nines, fp32": partial(ours, FP32),
    "nines, not bucketed": partial(ours, "datamodule.bucket_steps=1"),
    "nines, the model's dropout": partial(ours, "dropout=model"),
    "nines, alike": partial(ours, *ALIKE),
    "nines, alike, fp32": partial(ours, *ALIKE, FP32),
    "nines, alike, fp32, not bucketed": partial(ours, *ALIKE, FP32, "datamodule.bucket_steps=1"),
}

RATIOS = {
    "as each runs by default": ("nines", "Trainer"),
    "equal: fp32, bucketed, alike": ("nines, alike, fp32", "Trainer, bucketed"),
    "equal: bf16, bucketed, alike": ("nines, alike", "Trainer, bf16, bucketed"),
    "equal: fp32, not bucketed, alike": ("nines, alike, fp32, not bucketed", "Trainer"),
    "what bf16 gives": ("nines", "nines, fp32"),
    "what bucketing gives": ("nines", "nines, not bucketed"),
    "what leaving out attention dropout gives": ("nines", "nines, the model's dropout"),
}
BRIEF = ("as each runs by default", "equal: fp32, bucketed, alike", "equal: bf16, bucketed, alike")


def main(arguments: list[str] | None = None) -> None:
    """Run the rounds and print samples per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser, rows=1024)
    parser.add_argument("--brief", action="store_true", help="only default against default, and equal against equal")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    ratios = {label: RATIOS[label] for label in (BRIEF if options.brief else RATIOS)}
    needed = {name for pair in ratios.values() for name in pair}
    parameters: dict[str, int] = {}

    def timed(name: str) -> Speed:
        speed, parameters[name] = VARIANTS[name](rows=options.rows, batch=options.batch)
        return speed

    rounds = run_rounds({name: partial(timed, name) for name in VARIANTS if name in needed}, rounds=options.rounds)
    figures = print_ratios(rounds, ratios)
    print("trained parameters: " + ", ".join(f"{name} {count:,}" for name, count in parameters.items()))
    write_figures(
        options.json,
        {"ratios": figures, "rounds": [{n: vars(s) for n, s in r.items()} for r in rounds], "parameters": parameters},
    )


if __name__ == "__main__":
    main()
