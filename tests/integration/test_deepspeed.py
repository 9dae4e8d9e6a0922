"""DeepSpeed on two gloo ranks against DDP and against one process with the same global batch, step by step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from tests.distributed import run_ranks
from tests.lightning_modules.rank_trainings import assert_same_training, strategy_of, trained, whole_weights
from tests.lightning_modules.small_classifier import NO_DROPOUT, tiny_trainer

pytest.importorskip("deepspeed")

# Two of the six norms of this training lie below the limit.
CLIPPED = {"clipping": {"_target_": "nines.clipping.norm.NormClipping", "max_norm": 0.4}}
FLOAT32 = {"atol": 1e-5, "rtol": 2e-5}
# The engine keeps bf16 weights beside float32 ones and rounds every sum; DDP rounds within products alone.
BFLOAT16 = {"atol": 5e-3, "rtol": 3e-2}
SLOW = pytest.mark.slow

Training = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """What DDP or one process shows for the same options, computed once."""
    kept: dict[str, dict[str, Any]] = {}

    def reference(name: str = "ddp", **options: Any) -> dict[str, Any]:
        key = repr((name, options))
        if key not in kept:
            kept[key] = trained(tmp_path_factory.mktemp("reference"), name, **options)
        return kept[key]

    return reference


@pytest.mark.parametrize(
    ("strategy", "accumulate"),
    [
        pytest.param("zero0", 1, marks=SLOW),
        pytest.param("zero1", 1, marks=SLOW),
        pytest.param("zero2", 1, marks=SLOW),
        pytest.param("zero3", 1, marks=SLOW),
        pytest.param("zero0", 2, marks=SLOW),
        pytest.param("zero1", 2, marks=SLOW),
        ("zero2", 2),
        ("zero3", 2),
        pytest.param("zero3_offload", 2, marks=SLOW),
    ],
)
def test_every_stage_takes_the_steps_of_ddp(
    tmp_path: Path, references: Training, strategy: str, accumulate: int
) -> None:
    """Three batches an epoch: with two to a step, the last step of each epoch is a short one."""
    options: dict[str, Any] = {"arguments": CLIPPED, "trainer": {"accumulate_grad_batches": accumulate}}
    expected = references(**options)
    assert 0 < sum(expected["shares"]) < len(expected["shares"]), "clipping must act, and not always"
    assert expected["steps"] == (6 if accumulate == 1 else 4)
    assert_same_training(trained(tmp_path, strategy, **options), expected, **FLOAT32)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_ddp_takes_the_steps_of_one_process_with_the_same_global_batch(references: Training, accumulate: int) -> None:
    """Closes the chain: what equals DDP equals one process. Halves are summed in another order."""
    options: dict[str, Any] = {"arguments": CLIPPED, "trainer": {"accumulate_grad_batches": accumulate}}
    two, one = references(**options), references("one", **options)
    for key in ("norms", "shares", "rates"):
        torch.testing.assert_close(torch.tensor(two[key]), torch.tensor(one[key]), atol=1e-5, rtol=1e-4)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(
            two["weights"][name], weight, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )
    for split, scores in one["scores"].items():
        torch.testing.assert_close(two["scores"][split], scores, atol=1e-4, rtol=1e-3, msg=split)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["zero1", "zero2", "zero3"])
def test_bf16_stays_near_ddp_and_scores_do_not_tie(tmp_path: Path, references: Training, strategy: str) -> None:
    options: dict[str, Any] = {"arguments": CLIPPED, "trainer": {"precision": "bf16-mixed"}}
    found, expected = trained(tmp_path, strategy, **options), references(**options)
    for key in ("losses", "norms"):
        torch.testing.assert_close(torch.tensor(found[key]), torch.tensor(expected[key]), **BFLOAT16)
    assert found["shares"] == expected["shares"]
    for split, scores in expected["scores"].items():
        torch.testing.assert_close(found["scores"][split], scores, atol=1e-2, rtol=0, msg=split)
    # 8 bits of logit would leave a handful of different scores.
    assert len(torch.unique(found["scores"]["valid"])) > 0.8 * len(found["scores"]["valid"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "arguments"),
    [
        ("zero2", {"model": {"freeze_layers": 2}}),
        ("zero3", {"model": {"freeze_layers": 2}}),
        ("zero3", {"model": {"freeze_layers": 2, "trunk_cache": False}}),
        ("zero3", {"dropout": {**NO_DROPOUT, "hidden": 0.3, "head": 0.2, "multi_sample": 2, "r_drop": 0.5}}),
        ("zero3", {"model": {"source": "tiny:deberta"}}),
        ("zero3", {"model": {"source": "tiny:modernbert", "pooling": "mean", "head_hidden": 8}}),
        ("zero3", {"model": {"activation_checkpointing": True}, "dropout": {**NO_DROPOUT, "hidden": 0.3}}),
    ],
    ids=["frozen", "frozen_shared_out", "frozen_uncached", "dropout", "deberta", "modernbert", "recomputed"],
)
def test_every_kind_of_classifier_trains_as_under_ddp(
    tmp_path: Path, references: Training, strategy: str, arguments: dict[str, Any]
) -> None:
    options: dict[str, Any] = {
        "arguments": {**CLIPPED, **arguments},
        "trainer": {"accumulate_grad_batches": 2, "max_epochs": 1},
    }
    expected = references(**options)
    assert_same_training(trained(tmp_path, strategy, **options), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["zero1", "zero2", "zero3"])
def test_a_step_whose_gradient_is_not_finite_is_dropped_and_told(
    tmp_path: Path, references: Training, strategy: str
) -> None:
    options: dict[str, Any] = {"arguments": CLIPPED, "spoilt_batch": 1, "trainer": {"max_epochs": 1}}
    found, expected = trained(tmp_path, strategy, **options), references(**options)
    assert [norm == float("inf") for norm in expected["norms"]] == [False, True, False]
    assert found["norms"] == pytest.approx(expected["norms"], rel=1e-5)
    assert found["summary"]["gradients/non_finite_steps"] == 1
    for name, weight in expected["weights"].items():
        torch.testing.assert_close(
            found["weights"][name], weight, **FLOAT32, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_a_model_built_while_it_is_shared_out_starts_from_the_same_weights(
    tmp_path: Path, references: Training
) -> None:
    """Of a source, by `from_pretrained`, and with a drawn head; without care they stay what the memory held."""
    options: dict[str, Any] = {"arguments": CLIPPED, "trainer": {"accumulate_grad_batches": 2}}
    expected = references(**options)["first"]
    found = trained(tmp_path, "zero3", **{**options, "trainer": {"max_steps": 1}})["first"]
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


class DrawnModel(L.LightningModule):
    """A transformer with drawn weights that takes one step over three backward passes by itself.

    Args:
        late: Draw them in `configure_model`, where ZeRO-3 shares them out while they are drawn.
    """

    def __init__(self, *, late: bool) -> None:
        super().__init__()
        self.automatic_optimization = False
        if not late:
            self.configure_model()

    def configure_model(self) -> None:
        from transformers import AutoModel, BertConfig

        if "encoder" in self._modules:
            return
        torch.manual_seed(3)
        shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = BertConfig(vocab_size=32, **shape, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        self.encoder = AutoModel.from_config(config, add_pooling_layer=False)
        self.head = nn.Linear(16, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        for part in batch.chunk(3):
            loss = self.head(self.encoder(part).last_hidden_state[:, 0]).square().mean() / 3
            self.manual_backward(loss)
        optimizer.step()
        optimizer.zero_grad()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)  # Adam would hide a gradient of a wrong size


def drawn_and_stepped(folder: Path, name: str, rank: int, *, late: bool) -> None:
    rank_zero_only.rank = rank  # type: ignore[attr-defined]
    torch.set_num_threads(1)
    tokens = torch.randint(0, 32, (24, 5), generator=torch.Generator().manual_seed(0))
    by_rank = tokens.view(2, 2, 6, 5)  # (ranks, steps, rows, tokens)
    rows = by_rank[rank].flatten(0, 1) if name != "one" else by_rank.transpose(0, 1).flatten(0, 2)
    seen: dict[str, Any] = {}

    class First(L.Callback):
        def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            seen["first"] = whole_weights(module)

    ranks = 1 if name == "one" else 2
    trainer = tiny_trainer(folder, devices=ranks, strategy=strategy_of(name), callbacks=[First()])
    module = DrawnModel(late=late)
    trainer.fit(module, torch.utils.data.DataLoader(rows, batch_size=12 // ranks))  # type: ignore[arg-type]
    seen["last"] = whole_weights(module)
    if rank == 0:
        torch.save(seen, folder / f"{name}.pt")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process on the rows of both ranks: DDP itself refuses several passes within one forward."""
    return stepped(tmp_path_factory.mktemp("one"), "one")


def stepped(folder: Path, name: str, *, late: bool = False) -> dict[str, Any]:
    ranks = 1 if name == "one" else 2
    assert run_ranks(lambda rank: drawn_and_stepped(folder, name, rank, late=late), ranks=ranks) == [0] * ranks
    found: dict[str, Any] = torch.load(folder / f"{name}.pt", weights_only=False)
    return found


@pytest.mark.parametrize("stage", [pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW), 3])
def test_several_backward_passes_before_one_step_sum_up_as_in_one_process(
    tmp_path: Path, alone: dict[str, Any], stage: int
) -> None:
    """Manual optimisation, and every pass within one training step, which is one forward of the engine."""
    found = stepped(tmp_path, f"zero{stage}")
    assert alone["last"].keys() == found["last"].keys()
    for name, weight in alone["last"].items():
        moved = float((weight - alone["first"][name]).norm())
        wrong = float((found["last"][name] - weight).norm())
        if "key.bias" not in name:  # a softmax does not see it: its gradient is rounding alone
            assert wrong < 1e-3 * moved, f"{name}: off by {wrong} of {moved}"


def test_a_transformer_drawn_in_configure_model_is_initialised_though_it_is_shared_out(
    tmp_path: Path, alone: dict[str, Any]
) -> None:
    found = stepped(tmp_path, "zero3", late=True)["first"]
    for name, weight in alone["first"].items():
        assert found[name].shape == weight.shape
        drawn, expected = float(found[name].std(correction=0)), float(weight.std(correction=0))
        assert drawn == pytest.approx(expected, rel=0.5, abs=1e-6), name
