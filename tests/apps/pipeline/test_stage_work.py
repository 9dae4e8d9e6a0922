import dataclasses
import json

import numpy as np
import pytest

from apps.demo import context_of
from apps.pipeline.context import Context
from apps.pipeline.stage_work import choose_threshold, held_out_prompts, judge_error_rates
from datamodules.prompt_files import read_prompts
from lightning_modules.prediction import Predictor
from nines.files import read_json, write_json, write_text
from nines.run_folder import RunFolder
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier

PAIRS = [(f"Prompt {number % 5}.", f"It fell {'far ' * number}down.") for number in range(15)]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A demo in which the base policy has completed and the classifier is trained."""
    root = tmp_path_factory.mktemp("runs")
    found = dataclasses.replace(context_of(["demo.size=tiny", f"runs={root}"]), root=root)
    run = RunFolder(root / "classifier")
    checkpoint = fitted_checkpoint(root, tiny_classifier())
    run.checkpoints.mkdir(parents=True)
    checkpoint.rename(run.best)
    lines = (json.dumps({"prompt": prompt, "completion": text}) for prompt, text in PAIRS)
    write_text(root / "base_completions" / "completions.jsonl", "".join(f"{line}\n" for line in lines))
    return found


def test_the_threshold_accepts_the_wanted_share_of_the_base_policys_completions(context: Context) -> None:
    folder = context.root / "threshold"
    found = choose_threshold(context, folder)
    assert read_json(folder / "threshold.json") == found
    scores = Predictor.load(context.classifier).scores(PAIRS)
    assert found["threshold"] == np.nextafter(np.sort(scores)[7], 1)  # 8 of 15 are the first share of at least half
    assert found["resulting_acceptance_share"] == pytest.approx(8 / 15)
    assert (found["chosen_on"], found["completions"], found["prompts"]) == ("valid", 15, 5)


def test_held_out_prompts_are_those_of_their_split(context: Context) -> None:
    texts = [prompt.text for prompt in read_prompts("embedded:injury")["test"]]
    assert held_out_prompts(context, "test", count=None) == texts
    assert held_out_prompts(context, "test", count=3) == texts[:3]


def test_error_rates_are_read_from_the_runs_and_absent_where_a_run_states_none(context: Context) -> None:
    rate = {"estimate": 0.1, "lower": 0.05, "upper": 0.2}
    figures = {"fnr": rate, "fpr": rate, "auroc": 0.9, "prevalence": 0.5, "log_loss": 1.0}
    populations = [
        {"population": "all", "unsure": "dropped", **figures},
        {"population": "all", "unsure": "as_injurious", **figures, "auroc": 0.1},
    ]
    judge = RunFolder(context.root / "judge_classifier")
    write_json(judge.threshold, {"threshold": 0.3})
    write_json(judge.metrics, {"metrics": {}, "evaluation": {"test": {"populations": populations}}})
    model = RunFolder(context.root / "judge_reward_model")
    write_json(model.metrics, {"metrics": {"test/accuracy": 0.6, "test/log_loss": 0.65, "test/brier": 0.2}})
    found = judge_error_rates(context)
    assert found["classifiers"]["judge"]["threshold"] == {"threshold": 0.3}
    assert found["classifiers"]["judge"]["test"] == {"all": {"fnr": rate, "fpr": rate, "auroc": 0.9, "prevalence": 0.5}}
    assert found["classifiers"]["judge"]["valid"] == {}
    assert found["classifiers"]["own"] == {"threshold": None, "valid": {}, "test": {}}
    assert found["reward_models"]["judge"] == {"valid": {}, "test": {"accuracy": 0.6, "log_loss": 0.65}}
