"""Training throughput of `nines train` against transformers' `Trainer`: same encoder, rows and batch size.

    pip install '.[benchmarks]'
    python -m benchmarks.training_throughput --rounds 3

Each round trains every variant once, one after the other in one process, so that what the machine does besides hits
all of them; the figure is the median over rounds of the ratio within a round. Only the fit is timed: no loading, no
tokenising, no validation.

The default against the default says what a user gets. It mixes precision, bucketing and dropout, so the variants
beside it change one thing at a time, and the last pair has equal precision and equal bucketing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer
from transformers import TrainingArguments as Arguments

from apps.config import compose
from apps.training import assemble, resolve_precision
from datamodules.completions import LabelledCompletions
from nines.models.weights import resolve
from nines.run_folder import RunFolder


class FitTimer(L.Callback):
    """Seconds between the start and the end of training."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock."""
        self.seconds = time.perf_counter() - self.started


def ours(rows: int, batch: int, *overrides: str) -> float:
    """Samples per second of one epoch of `nines train` with its default callbacks and logger."""
    common = [
        f"datamodule.limit_rows={rows}",
        f"datamodule.batch_size={batch}",
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
        return float(data.class_counts().total) / timer.seconds


def theirs(rows: int, batch: int, **options: Any) -> float:
    """Samples per second of one epoch of transformers' Trainer at its defaults but for `options`."""
    data = LabelledCompletions(tokenizer=str(compose("train", []).module.model.source), max_tokens=128, limit_rows=rows)
    folder = resolve(data.tokenizer_source)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    certain = [
        (pair, int(label))
        for pair, label in zip(data.texts("train"), data.rows("train").labels, strict=True)
        if label >= 0
    ]
    encoded = tokenizer(
        [prompt for (prompt, _), _ in certain],
        [completion for (_, completion), _ in certain],
        truncation="only_first",
        max_length=128,
    )
    examples = [
        {**{name: encoded[name][index] for name in encoded}, "labels": label}
        for index, (_, label) in enumerate(certain)
    ]
    model = AutoModelForSequenceClassification.from_pretrained(str(folder), num_labels=2)
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
            model=model, args=arguments, train_dataset=examples, data_collator=DataCollatorWithPadding(tokenizer)
        )
        started = time.perf_counter()
        trainer.train()
        return len(examples) / (time.perf_counter() - started)


VARIANTS: dict[str, Callable[[int, int], float]] = {
    "Trainer, defaults (fp32, shuffled)": theirs,
    "Trainer, bf16, grouped by length": lambda rows, batch: theirs(
        rows, batch, bf16=True, train_sampling_strategy="group_by_length"
    ),
    "Trainer, fp32, grouped by length": lambda rows, batch: theirs(
        rows, batch, train_sampling_strategy="group_by_length"
    ),
    "nines, defaults": ours,
    "nines, fp32": lambda rows, batch: ours(rows, batch, "trainer.precision=32-true"),
    "nines, no bucketing": lambda rows, batch: ours(rows, batch, "datamodule.bucket_steps=1"),
    "nines, fp32, no bucketing, the model's dropout": lambda rows, batch: ours(
        rows, batch, "trainer.precision=32-true", "datamodule.bucket_steps=1", "dropout=model"
    ),
    "nines, the model's dropout": lambda rows, batch: ours(rows, batch, "dropout=model"),
    "nines, fp32, the model's dropout": lambda rows, batch: ours(
        rows, batch, "trainer.precision=32-true", "dropout=model"
    ),
}

RATIOS = {
    "as each runs by default": ("nines, defaults", "Trainer, defaults (fp32, shuffled)"),
    "equal: fp32, bucketed, the model's dropout": (
        "nines, fp32, the model's dropout",
        "Trainer, fp32, grouped by length",
    ),
    "equal: bf16, bucketed, the model's dropout": ("nines, the model's dropout", "Trainer, bf16, grouped by length"),
    "share of bf16 in ours": ("nines, defaults", "nines, fp32"),
    "share of bucketing in ours": ("nines, defaults", "nines, no bucketing"),
    "share of leaving out attention dropout": ("nines, defaults", "nines, the model's dropout"),
    "loop alone: all else as in Trainer": (
        "nines, fp32, no bucketing, the model's dropout",
        "Trainer, defaults (fp32, shuffled)",
    ),
}


def main() -> None:
    """Run the rounds and print samples per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="paired runs; the median ratio is printed (3)")
    parser.add_argument("--rows", type=int, default=1024, help="training rows (1024)")
    parser.add_argument("--batch", type=int, default=32, help="rows in a batch (32)")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    options = parser.parse_args()
    rounds: list[dict[str, float]] = []
    for number in range(options.rounds):
        speeds = {}
        for name, run in VARIANTS.items():
            speeds[name] = run(options.rows, options.batch)
            print(f"round {number + 1}: {name:<50} {speeds[name]:8.1f} samples/s", flush=True)
        rounds.append(speeds)
    print(f"\nmedian of {options.rounds} paired runs, {options.rows} rows, batch {options.batch}")
    ratios = {}
    for label, (ours_name, their_name) in RATIOS.items():
        each = [speeds[ours_name] / speeds[their_name] for speeds in rounds]
        ratios[label] = {"median": statistics.median(each), "all": each}
        print(f"  {label:<48} {statistics.median(each):5.2f}   ({', '.join(f'{ratio:.2f}' for ratio in each)})")
    if options.json:
        options.json.write_text(json.dumps({"rounds": rounds, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
