"""`nines train module=language_model` end to end on the tiny model: report, export, kills, two ranks."""

import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from apps.cli import main
from nines.files import read_json
from nines.models.language_model import LanguageModelOptions, load_language_model
from nines.run_folder import RunFolder, RunStatus
from tests.distributed import run_ranks
from tests.trainings import assert_same_to_the_bit, fork, killing, wait_for, weights

SMALL = (
    "module=language_model",
    "generator=tiny",
    "trainer=cpu",
    "trainer.precision=32-true",
    "trainer.enable_progress_bar=false",
    "datamodule.limit_texts=64",
    "datamodule.batch_size=8",
    "datamodule.max_tokens=192",
    "module.optimizer.lr=1e-3",
    "callbacks=minimal",
    "callbacks.checkpoints.every_n_steps=1",
    "logger=none",
    "test=false",
    "threads=1",
)


def train_tiny(folder: Path, overrides: list[str]) -> dict[str, float]:
    from apps.config import compose
    from apps.training import train

    whole = [*SMALL, *overrides]
    return train(compose("train", whole), folder=RunFolder(folder), overrides=whole)


def in_child(folder: Path, overrides: list[str]) -> int:
    return wait_for(fork(lambda: bool(train_tiny(folder, overrides) is None)))


@pytest.mark.slow
def test_a_run_learns_reports_what_it_drew_and_leaves_a_model_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in SMALL if not word.startswith(("callbacks", "test", "logger"))]
    options = [
        "trainer.max_epochs=3",
        "datamodule.sources=[written,plain]",
        "datamodule.weights={written: 3, plain: 1}",
    ]
    assert main(["train", *words, *options, f"runs={tmp_path}"]) == 0
    (run,) = (tmp_path / "train").iterdir()
    assert run.name.startswith("language_model-")
    metrics = read_json(run / "metrics.json")["metrics"]
    assert metrics["valid/perplexity"] < 500  # a uniform guess has 616
    assert {"test/perplexity", "test/perplexity/written", "test/perplexity/plain"} <= metrics.keys()
    drawn = read_json(run / "drawn.json")
    assert len(drawn["epochs"]) == 3
    assert drawn["whole"]["written"]["share"] == pytest.approx(0.75, abs=0.05)
    model = load_language_model(LanguageModelOptions(source=f"path:{run / 'model'}"))
    tokens, mask = model.encode_prompts(["The man ran."], max_tokens=16)
    assert torch.isfinite(model(tokens, mask)).all()
    assert f"path:{run / 'model'}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["module.model.train=lora", "module.model.lora_dropout=0.1", "trainer.accumulate_grad_batches=2"],
        ["datamodule.packed_tokens=256", "datamodule.sources=[written,plain]", "datamodule.weights={plain: 1}"],
    ],
    ids=["plain", "lora_and_accumulated", "packed_and_weighted"],
)
def test_killed_and_resumed_equals_uninterrupted_to_the_bit(tmp_path: Path, options: list[str]) -> None:
    overrides = ["trainer.max_epochs=2", *options]
    assert in_child(tmp_path / "whole", overrides) == 0
    for batch in (5, 11):
        assert in_child(tmp_path / "killed", [*overrides, *killing(batch)]) == -signal.SIGKILL
    assert in_child(tmp_path / "killed", overrides) == 0
    status = RunStatus.read(RunFolder(tmp_path / "killed"))
    assert status is not None
    assert status.state == "completed"
    assert_same_to_the_bit(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("train", ["all", "lora"])
def test_two_ranks_take_the_steps_of_one_process_with_twice_the_batch(tmp_path: Path, train: str) -> None:
    """Texts of different lengths: each token must count the same, on whichever rank it is."""
    plain = ["trainer.max_epochs=1", "datamodule.bucket_steps=1", "datamodule.drop_last=true", "clipping=none"]
    plain += [f"module.model.train={train}", "module.optimizer.epsilon=0.1", "module.optimizer.lr=1e-2"]

    def task(rank: int) -> None:
        rank_zero_only.rank = rank
        two = ["trainer=ddp", "trainer.accelerator=cpu", "datamodule.batch_size=8"]
        train_tiny(tmp_path / "two", [*plain, *two])

    assert run_ranks(task) == [0, 0]
    train_tiny(tmp_path / "one", [*plain, "datamodule.batch_size=16"])
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        if name.startswith("state.model."):
            torch.testing.assert_close(two[name], one[name], atol=2e-6, rtol=1e-4, msg=name)
    figures = [read_json(RunFolder(tmp_path / name).metrics)["metrics"] for name in ("one", "two")]
    assert figures[1]["valid/loss"] == pytest.approx(figures[0]["valid/loss"], abs=1e-5)
