"""What the trunk cache gives: the same frozen layers with their outputs kept on disk, and computed in every step.

    python -m benchmarks.trunk_cache --rounds 3

Both variants train the same rows in the same order with the same seeds; the losses of every step are compared, too,
once in fp32, where they are to be equal but for rounding. Building the cache happens once for all trials of a sweep;
its time and size are stated beside and are not part of the speed.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch

from apps.config import compose
from apps.training import assemble, resolve_precision
from benchmarks.paired import Clock, Speed, add_common_arguments, print_ratios, run_rounds, write_figures
from datamodules.completions import LabelledCompletions
from nines.cache import cache_folder
from nines.models.trunk_cache import TrunkCache
from nines.run_folder import RunFolder

FREEZE_LAYERS = 4
CACHED, PLAIN = "with trunk cache", "without"


class Losses(L.Callback):
    """Times the loop of a fit, and keeps the loss of each step."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.losses: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.clock.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss."""
        self.losses.append(float(outputs["loss"]))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock."""
        self.clock.stop()


def train(*overrides: str, cached: bool, rows: int, batch: int) -> tuple[Speed, list[float]]:
    """One epoch with the lower layers frozen.

    Returns:
        Its speed, and the loss of each step.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = compose(
            "train",
            [
                f"datamodule.limit_rows={rows}",
                f"datamodule.batch_size={batch}",
                f"module.model.freeze_layers={FREEZE_LAYERS}",
                f"module.model.trunk_cache={str(cached).lower()}",
                "trainer.max_epochs=1",
                "trainer.limit_val_batches=0",
                "trainer.enable_progress_bar=false",
                *overrides,
            ],
        )
        resolve_precision(config)
        recorder = Losses()
        trainer, module, data = assemble(config, folder=RunFolder(Path(folder)), extra=[recorder])
        trainer.fit(module, datamodule=data)
        assert isinstance(data, LabelledCompletions)
        return recorder.clock.speed(data.class_counts().total), recorder.losses


def build(*, rows: int) -> dict[str, float]:
    """Build the cache of the training rows in a folder of its own, in the default precision.

    Returns:
        Seconds by the wall clock and of processor time, size in MB, and tokens.
    """
    config = compose("train", [f"datamodule.limit_rows={rows}", f"module.model.freeze_layers={FREEZE_LAYERS}"])
    resolve_precision(config)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
        _, module, data = assemble(config, folder=RunFolder(Path(folder) / "run"))
        assert isinstance(data, LabelledCompletions)
        pairs = data.pairs("train")
        clock = Clock()
        clock.start()
        hidden = TrunkCache.open_or_build(
            module.model,  # type: ignore[arg-type]  # a CompletionClassifier, whose model is a PairClassifier
            pairs,
            tokenizer_fingerprint=data.tokenizer_fingerprint,
            precision=str(config.trainer.precision),
            folder=Path(folder) / "trunk",
        )
        clock.stop()
        size = hidden.hidden.numel() * hidden.hidden.element_size()
    tokens = float(len(hidden.hidden))
    return {"wall": clock.wall, "processor": clock.processor, "megabytes": size / 1e6, "tokens": tokens}


def largest_difference(first: list[float], second: list[float]) -> float:
    """The largest absolute difference between the losses of two runs of equally many steps."""
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def main(arguments: list[str] | None = None) -> None:
    """Run the rounds and print speeds, their ratio, and how far the losses are apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser, rows=2048)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    cache_folder().mkdir(parents=True, exist_ok=True)
    sizes = {"rows": options.rows, "batch": options.batch}
    building = build(rows=options.rows)
    losses: dict[str, dict[str, list[float]]] = {"default precision": {}, "fp32": {}}
    for name, cached in ((CACHED, True), (PLAIN, False)):  # also fills the caches, so that no round pays for it
        _, losses["fp32"][name] = train("trainer.precision=32-true", cached=cached, **sizes)

    def timed(name: str) -> Speed:
        speed, losses["default precision"][name] = train(cached=name == CACHED, **sizes)
        return speed

    train(cached=True, **sizes)
    rounds = run_rounds({name: partial(timed, name) for name in (CACHED, PLAIN)}, rounds=options.rounds)
    ratios = print_ratios(rounds, {"trunk cache": (CACHED, PLAIN)})
    print(
        f"building it once: {building['wall']:.1f} s ({building['processor']:.1f} s of processor time), "
        f"{building['megabytes']:.0f} MB for {building['tokens']:,.0f} tokens"
    )
    differences = {name: largest_difference(pair[CACHED], pair[PLAIN]) for name, pair in losses.items()}
    for name, difference in differences.items():
        print(f"largest difference of the {len(losses[name][PLAIN])} losses in {name}: {difference:.1e}")
    write_figures(
        options.json,
        {
            "ratios": ratios,
            "rounds": [{name: vars(speed) for name, speed in speeds.items()} for speeds in rounds],
            "building": building,
            "loss_differences": differences,
        },
    )


if __name__ == "__main__":
    main()
