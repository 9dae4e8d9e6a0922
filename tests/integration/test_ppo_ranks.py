"""PPO on two ranks takes the steps that one process takes, under every strategy."""

from pathlib import Path
from typing import Any

import pytest

from tests.lightning_modules.rank_policies import seen_under

pytestmark = pytest.mark.slow
COMPARED = ("score", "policy_loss", "value_loss", "kl_k3", "clip_fraction", "entropy", "explained_variance")


@pytest.mark.parametrize("train", ["all", "lora", "upper"])
def test_two_ranks_learn_what_one_process_learns(tmp_path: Path, train: str) -> None:
    arguments: dict[str, Any] = {
        "model": {"train": train, "upper_layers": 2},
        "ppo": {"whiten_advantages": "minibatch"},
    }
    alone = seen_under(tmp_path, "one", **arguments)
    assert_alike(alone, seen_under(tmp_path, "ddp", **arguments))


@pytest.mark.parametrize(
    ("stage", "train"),
    [*((stage, train) for stage in (1, 2, 3) for train in ("all", "lora")), (2, "upper"), (3, "upper")],
)
def test_zero_learns_what_one_process_learns(tmp_path: Path, stage: int, train: str) -> None:
    pytest.importorskip("deepspeed")
    arguments: dict[str, Any] = {"model": {"train": train, "upper_layers": 2}}
    alone = seen_under(tmp_path, "one", **arguments)
    assert_alike(alone, seen_under(tmp_path, f"zero{stage}", **arguments))


def assert_alike(alone: dict[str, Any], found: dict[str, Any]) -> None:
    assert found["steps"] == alone["steps"]
    for own, expected in zip(found["iterations"], alone["iterations"], strict=True):
        assert own["train/first_ratio"] == 1.0
        for name in COMPARED:
            assert own[f"train/{name}"] == pytest.approx(expected[f"train/{name}"], rel=1e-3, abs=1e-5), name
    for name, weight in alone["weights"].items():
        assert float((found["weights"][name] - weight).abs().max()) < 1e-5, name
    assert found["valid"] == pytest.approx(alone["valid"], rel=1e-4, abs=1e-5)
