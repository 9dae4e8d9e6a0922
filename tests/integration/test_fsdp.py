"""FSDP2 on two gloo ranks against DDP, step by step."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nines.errors import CapabilityError
from tests.lightning_modules.rank_trainings import assert_same_training, strategy_of, trained
from tests.lightning_modules.small_classifier import NO_DROPOUT, tiny_classifier, tiny_trainer

CLIPPED = {"clipping": {"_target_": "nines.clipping.norm.NormClipping", "max_norm": 0.4}}


@pytest.mark.parametrize(
    ("arguments", "trainer"),
    [
        ({}, {"accumulate_grad_batches": 2}),
        pytest.param({}, {"precision": "bf16-mixed"}, marks=pytest.mark.slow),
        pytest.param({"model": {"freeze_layers": 2}}, {}, marks=pytest.mark.slow),
        pytest.param({"model": {"source": "tiny:deberta"}}, {}, marks=pytest.mark.slow),
        pytest.param({"model": {"source": "tiny:modernbert"}}, {}, marks=pytest.mark.slow),
        pytest.param(
            {"model": {"activation_checkpointing": True}, "dropout": {**NO_DROPOUT, "hidden": 0.3, "r_drop": 0.5}},
            {},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["accumulated", "bf16", "frozen", "deberta", "modernbert", "recomputed"],
)
def test_sharing_parameters_out_takes_the_steps_of_ddp(
    tmp_path: Path, arguments: dict[str, Any], trainer: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"arguments": {**CLIPPED, **arguments}, "trainer": {"max_epochs": 1, **trainer}}
    expected = trained(tmp_path, "ddp", **options)
    assert sum(expected["shares"]) > 0, "clipping must act"
    assert_same_training(trained(tmp_path, "fsdp2", **options), expected, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("clipping", ["value.ValueClipping", "adaptive.AdaptiveClipping", "quantile.QuantileClipping"])
def test_clipping_that_needs_whole_gradients_is_refused(tmp_path: Path, clipping: str) -> None:
    module = tiny_classifier(clipping={"_target_": f"nines.clipping.{clipping}"})
    runs = tiny_trainer(tmp_path)
    runs._accelerator_connector.strategy = strategy_of("fsdp2")
    module.trainer = runs
    with pytest.raises(CapabilityError, match=rf"{clipping.split('.')[1]}.*FullySharded.*clipping=norm"):
        module.setup("fit")


@pytest.mark.slow
def test_two_ranks_end_with_the_weights_of_one_process_with_the_same_global_batch(tmp_path: Path) -> None:
    options: dict[str, Any] = {"arguments": CLIPPED}
    two, one = trained(tmp_path, "fsdp2", **options), trained(tmp_path, "one", **options)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(
            two["weights"][name], weight, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )
