"""Tiny models that stand for classifier, judge and reward model, and prompts with genre and risk."""

import json
from pathlib import Path

import pytest

from nines.files import write_json
from nines.run_folder import RunFolder
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier
from tests.lightning_modules.small_reward_model import fitted_reward_model, tiny_reward_model

PROMPTS = (
    ("The door opened.", "low"),
    ("She ran.", "low"),
    ("The dog sat, and then", "high"),
    ("He fell.", "high"),
    ("Rain.", "high"),
)


def _classifier(folder: Path, *, seed: int) -> Path:
    run = RunFolder(folder)
    run.path.mkdir(parents=True, exist_ok=True)
    checkpoint = fitted_checkpoint(run.path, tiny_classifier(seed=seed))
    run.checkpoints.mkdir()
    checkpoint.rename(run.best)
    write_json(run.threshold, {"threshold": 0.5})
    return run.path


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _classifier(tmp_path_factory.mktemp("classifier"), seed=0)


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _classifier(tmp_path_factory.mktemp("judge"), seed=1)


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_reward_model(tmp_path_factory.mktemp("reward"), tiny_reward_model())


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = [{"prompt": text, "risk": risk, "genre": "tale", "split": "test"} for text, risk in PROMPTS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
