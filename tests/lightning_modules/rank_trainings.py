"""One short training under any strategy, on one or two ranks, and everything that it showed, for comparing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.distributed.tensor import DTensor

from callbacks.gradient_norms import GradientNorms, group_norms
from lightning_modules.classifier import CompletionClassifier
from tests.distributed import run_ranks
from tests.lightning_modules.small_classifier import tiny_classifier, tiny_data, tiny_trainer

OPTIMIZER = {"lr": 1e-2, "layer_decay": 0.8, "weight_decay": 0.1}


class Watch(L.Callback):
    """Keeps the loss of each batch, what clipping saw at each step, and the norms of the groups of layers."""

    def __init__(self, *, spoilt_batch: int | None = None) -> None:
        self.spoilt_batch = spoilt_batch  # its gradient is not finite
        self.seen: dict[str, Any] = {"losses": [], "norms": [], "shares": [], "groups": [], "rates": []}

    def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
        torch.manual_seed(trainer.global_rank)  # the draws of dropout do not depend on how the model was built
        self.seen["first"] = whole_weights(module)

    def on_before_backward(self, trainer: L.Trainer, module: Any, loss: Tensor) -> None:
        if trainer.fit_loop.total_batch_idx == self.spoilt_batch:
            loss.register_hook(lambda gradient: gradient * torch.nan)

    def on_before_optimizer_step(self, trainer: L.Trainer, module: Any, optimizer: Any) -> None:
        self.seen["groups"].append(group_norms(module))
        self.seen["rates"].append([group["lr"] for group in optimizer.param_groups])

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *arguments: Any) -> None:
        self.seen["losses"].append(float(outputs["loss"]))
        if len(self.seen["groups"]) > len(self.seen["norms"]):
            self.seen["norms"].append(module.last_clip.norm)
            self.seen["shares"].append(module.last_clip.clipped_share)


def strategy_of(name: str) -> Any:
    """`one` and `ddp` are Lightning's; `zero<stage>` and `fsdp2` are ours."""
    if name.startswith("zero"):
        from lightning_modules.deepspeed import DeepSpeed

        return DeepSpeed(stage=int(name[4]), offload_optimizer="offload" in name, offload_parameters="offload" in name)
    if name == "fsdp2":
        from lightning_modules.fsdp import FullySharded

        return FullySharded()
    return "ddp" if name == "ddp" else "auto"


def whole_weights(module: L.LightningModule) -> dict[str, Tensor]:
    """All parameters, whole, in float32; call it on every rank."""
    found: dict[str, Tensor] = {}
    for name, parameter in module.named_parameters():
        if isinstance(parameter, DTensor):
            found[name] = parameter.full_tensor().detach().float().clone()
        elif hasattr(parameter, "ds_id"):
            import deepspeed

            with deepspeed.zero.GatheredParameters([parameter]):
                found[name] = parameter.detach().float().clone()
        else:
            found[name] = parameter.detach().float().clone()
    return found


def train_and_keep(
    folder: Path,
    name: str,
    rank: int,
    *,
    arguments: Mapping[str, Any] = {},
    data: Mapping[str, Any] = {},
    trainer: Mapping[str, Any] = {},
    spoilt_batch: int | None = None,
) -> None:
    """Fit, validate and test on this rank; rank 0 keeps what was seen in `<folder>/<name>.pt`."""
    rank_zero_only.rank = rank  # type: ignore[attr-defined]
    torch.set_num_threads(1)
    watch, norms = Watch(spoilt_batch=spoilt_batch), GradientNorms()
    module: CompletionClassifier = tiny_classifier(
        optimizer=OPTIMIZER, deferred=name.startswith("zero3"), **{"model": {}, **arguments}
    )
    sizes = {"rows": 60, "batch_size": 16 if name == "one" else 8, "drop_last": True, "bucket_steps": 1, **data}
    rows = tiny_data(**sizes)
    ranks = 1 if name == "one" else 2
    runs = tiny_trainer(
        folder,
        devices=ranks,
        strategy=strategy_of(name),
        callbacks=[watch, norms],
        **{"max_epochs": 2, **trainer},
    )
    runs.fit(module, datamodule=rows)
    summary, steps = norms.summary(), runs.global_step
    weights = whole_weights(module)
    runs.validate(module, datamodule=rows, verbose=False)
    metrics = {key: float(value) for key, value in runs.callback_metrics.items() if key.startswith("valid")}
    runs.test(module, datamodule=rows, verbose=False)
    scores = {split: torch.from_numpy(module.gathered_scores(split)) for split in ("valid", *rows.splits("test"))}
    kept = {**watch.seen, "summary": summary, "steps": steps, "weights": weights, "scores": scores, "metrics": metrics}
    torch.save(kept, folder / f"{name}_{rank}.pt")


def trained(folder: Path, name: str, **options: Any) -> dict[str, Any]:
    """Train under the strategy `name` and return what rank 0 saw; all ranks must have gathered the same scores."""
    ranks = 1 if name == "one" else 2
    codes = run_ranks(lambda rank: train_and_keep(folder, name, rank, **options), ranks=ranks)
    assert codes == [0] * ranks
    first: dict[str, Any] = torch.load(folder / f"{name}_0.pt", weights_only=False)
    for rank in range(1, ranks):
        other = torch.load(folder / f"{name}_{rank}.pt", weights_only=False)
        assert other["steps"] == first["steps"]
        for split, scores in first["scores"].items():
            torch.testing.assert_close(other["scores"][split], scores, atol=0, rtol=0)
    return first


def assert_same_training(found: Mapping[str, Any], expected: Mapping[str, Any], *, atol: float, rtol: float) -> None:
    """Both took the same steps: losses, norms before clipping, rates, weights, scores and metrics agree."""
    assert found["steps"] == expected["steps"] > 0
    for key in ("losses", "norms", "rates"):
        values = torch.tensor(expected[key])
        torch.testing.assert_close(torch.tensor(found[key]), values, atol=atol, rtol=rtol, msg=f"{key} {found[key]}")
    assert found["shares"] == expected["shares"]
    for mine, theirs in zip(found["groups"], expected["groups"], strict=True):
        assert mine == approximately(theirs, atol=atol, rtol=rtol)
    assert found["summary"] == approximately(expected["summary"], atol=atol, rtol=rtol)
    assert found["metrics"] == approximately(expected["metrics"], atol=max(atol, 1e-3), rtol=rtol)
    for key in ("weights", "scores"):
        assert found[key].keys() == expected[key].keys()
        for name in expected[key]:
            torch.testing.assert_close(
                found[key][name],
                expected[key][name],
                atol=atol,
                rtol=rtol,
                msg=lambda text, name=name: f"{name}: {text}",
            )


def approximately(values: Mapping[str, float], *, atol: float, rtol: float) -> Any:
    import pytest

    return pytest.approx(dict(values), abs=atol, rel=rtol, nan_ok=True)
