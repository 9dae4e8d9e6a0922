import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from apps import sweep as command
from apps.cli import main
from apps.config import compose, config_folder
from apps.sweep_options import locate, merge_overrides, read_request
from nines.errors import ConfigError, SweepError, UserError
from sweeps.life_cycle import finish, take
from sweeps.outcome import Outcome
from sweeps.study import create_study, open_study
from tests.sweeps.conftest import PRELOAD, REPOSITORY, RUN_TRIAL, definition, toy_request, wait_until

NAMED = sorted(path.stem for path in (config_folder() / "sweep").glob("*.yaml"))


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The sweep `toy` of a training that takes milliseconds, started through the command in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr(command, "RUN_TRIAL", RUN_TRIAL)
    monkeypatch.setattr(command, "PRELOAD", PRELOAD)
    monkeypatch.setattr("apps.sweep_checks.check_and_prepare", lambda definition, **what: None)
    monkeypatch.setattr("apps.sweep_shape.shape_of_trials", lambda definition, options: (1, 1))
    monkeypatch.setattr("apps.sweep_options.read_request", toy_request)
    return tmp_path


# What the user of a named sweep has to give.
GIVEN = {
    "ppo": ["module.reward.parts.log_safe.classifier=model", "module.reward.parts.quality.reward_model=rewards"],
}


@pytest.mark.parametrize("name", NAMED)
def test_every_named_sweep_asks_a_question_and_composes_in_all_its_choices(name):
    request = read_request([f"sweep={name}", *GIVEN.get(name, [])])
    assert request.definition.question.endswith("?")
    assert request.definition.name == name
    for values in request.definition.space.examples():
        compose("train", [*request.definition.train, *request.definition.space.overrides(values)])


@pytest.mark.parametrize("name", ["clipping", "dropout", "imbalance"])
def test_sweeps_over_a_grid_ask_for_all_of_it_over_seeds(name):
    asked = read_request([f"sweep={name}"]).definition
    assert asked.trials == len(asked.space.grid())
    assert asked.seeds >= 3


def test_named_sweeps_cover_every_strategy_there_is():
    for group in ("clipping", "dropout", "imbalance"):
        there = {path.stem for path in (config_folder() / group).glob("*.yaml")}
        swept = read_request([f"sweep={group}"]).definition.space
        assert there == {values[group] for values in swept.grid()}


def test_words_are_sorted_into_sweep_trial_and_space():
    request = read_request(
        ["sweep=quick", "trials=3", "model=tiny", "clipping=norm", "module.optimizer.lr=choice(1e-3, 1e-2)"]
    )
    space = request.definition.space
    assert request.definition.trials == 3
    assert request.definition.train[-2:] == ("model=tiny", "clipping=norm")
    assert {parameter.key: parameter.when for parameter in space.parameters} == {
        "module.optimizer.lr": (),
        "dropout": (),
        "imbalance": (),
        "module.clipping.max_norm": (),
    }


def test_the_last_of_several_overrides_of_a_key_counts():
    assert merge_overrides(["a=1", "b=2"], ["a=3"]) == ["b=2", "a=3"]
    assert "test=true" in read_request(["test=true"]).definition.train
    assert "test=false" not in read_request(["test=true"]).definition.train


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["trails=3"], SweepError, "unknown key 'trails'; did you mean 'trials'"),
        (["sweep=clip"], ConfigError, "clipping"),
        (["statsu"], UserError, "neither an action nor an override key=value; did you mean 'status'"),
        (["resume=here"], SweepError, "the sweep sets resume for each trial"),
        (["objective=valid/auroc"], SweepError, "write objectives="),
        (["seeds=2", "seed=4"], SweepError, "drop the override of seed"),
        (["workers=0"], SweepError, "workers: expected a whole number of at least 1, found 0"),
        (["launcher=locla"], ConfigError, "unknown choice of the group 'launcher'; did you mean 'local'"),
        (["sampler=tpee"], SweepError, "did you mean 'tpe'"),
        (["pruner=median", "objectives=[valid/auroc,valid/log_loss]"], SweepError, "cannot prune by 2 objectives"),
        (["module.optimizer.lr=tag(log, interval(0, 1))"], SweepError, "a log scale needs a positive start"),
    ],
)
def test_a_mistake_is_one_line(words, error, said):
    with pytest.raises(error, match=said) as caught:
        read_request(words)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_trial_that_could_not_run_is_refused_before_the_first_one(capsys, tmp_path):
    code = main(["sweep", "sweep=quick", "module.optimiser.lr=1", f"runs={tmp_path}"])
    said = capsys.readouterr().err
    assert code == 2
    assert "optimiser" in said
    assert "did you mean 'optimizer'?" in said
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_ends_with_its_table_its_best_and_the_commands_to_look_further(runs, capsys):
    assert command.start([]) == 0
    said = capsys.readouterr().out
    for part in ("trial 0 completed", "2 of 2 trials", "best: trial", "checkpoint", "nines sweep best folder="):
        assert part in said


def test_a_sweep_that_goes_on_is_prepared_again_but_not_checked_and_a_finished_one_neither(runs, monkeypatch):
    asked = []
    monkeypatch.setattr("apps.sweep_checks.check_and_prepare", lambda definition, **what: asked.append(what))
    create_study(runs / "toy", definition(trials=2))
    assert command.start([]) == 0
    assert asked == [{"check": False, "prepared": True, "trunk": True}]
    assert command.start([]) == 0
    assert len(asked) == 1


def test_failed_trials_make_exit_code_one_and_retry_puts_them_back(runs, capsys):
    words = ["mode=raise"]
    assert command.start(words) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert command.retry(open_study(runs / "toy"), words) == 0
    assert "2 failed trials are waiting again: 0, 1" in capsys.readouterr().out


def test_status_best_and_report_read_a_finished_sweep(runs, capsys):
    command.start([])
    capsys.readouterr()
    assert main(["sweep", "status", f"folder={runs / 'toy'}"]) == 0
    assert "2 of 2 trials" in capsys.readouterr().out
    assert main(["sweep", "best", f"folder={runs / 'toy'}", "--to", str(runs / "model")]) == 0
    assert (runs / "model" / "checkpoints" / "best.ckpt").exists()
    assert f"nines predict {runs / 'model'}" in capsys.readouterr().out
    assert main(["sweep", "report", f"folder={runs / 'toy'}"]) == 0
    html = Path(capsys.readouterr().out.split()[0])
    assert html.stat().st_size > 1000


def test_a_sweep_is_found_by_its_name_alone(tmp_path):
    folder = tmp_path / "sweep" / "quick-00000000"
    made = create_study(folder, definition(name="quick"))
    assert locate([f"runs={tmp_path}"]).folder == made.folder
    with pytest.raises(SweepError, match="no sweep 'dropout'"):
        locate([f"runs={tmp_path}", "sweep=dropout"])


def test_cancel_of_a_sweep_without_workers_says_how_to_go_on(runs, capsys):
    create_study(runs / "toy", definition())
    assert main(["sweep", "cancel", f"folder={runs / 'toy'}"]) == 0
    assert "is cancelled" in capsys.readouterr().out


def test_to_belongs_to_best(capsys):
    assert main(["sweep", "status", "--to", "x"]) == 2
    assert "--to belongs to" in capsys.readouterr().err


def test_cfg_prints_the_sweep_as_yaml_and_starts_nothing(capsys, tmp_path):
    assert main(["sweep", "--cfg", "job", f"runs={tmp_path}", "trials=5"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["name"], printed["trials"]) == ("quick", 5)
    assert list(tmp_path.iterdir()) == []


def test_status_imports_no_torch(tmp_path):
    create_study(tmp_path / "toy", definition())
    code = "import sys; from apps.cli import main; assert main(sys.argv[1:]) == 0; assert 'torch' not in sys.modules"
    words = ["sweep", "status", f"folder={tmp_path / 'toy'}"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)


def test_ctrl_c_ends_with_130_and_the_command_that_goes_on(runs):
    code = (
        "import sys; from apps import sweep, sweep_checks, sweep_options, sweep_shape; "
        "from tests.sweeps.conftest import toy_request; sweep_options.read_request = toy_request; "
        f"sweep.RUN_TRIAL = {RUN_TRIAL!r}; sweep.PRELOAD = {PRELOAD!r}; "
        "sweep_shape.shape_of_trials = lambda definition, options: (1, 1); "
        "sweep_checks.check_and_prepare = lambda definition, **what: None; sys.exit(sweep.start(sys.argv[1:]))"
    )
    words = ["steps=50", "pause=0.1"]
    process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True)
    wait_until((runs / "toy" / "trials" / "0000" / "steps.txt").exists)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "nothing is lost. Go on with:  nines sweep" in said
    assert open_study(runs / "toy").trials()[0].state == "interrupted"
    assert not re.search("Traceback", said)


def test_the_best_of_several_seeds_names_the_seed_to_train_it_again(tmp_path):
    sweep = create_study(tmp_path / "toy", definition(trials=1, seeds=2))
    for value in (0.5, 0.7):
        job = take(sweep)
        finish(sweep, job.number, Outcome("completed", (value,), {"score": value}))
    assert sweep.best().seed == 1


def test_a_folder_alone_names_the_sweep_that_lies_there(tmp_path):
    asked = read_request(["sweep=clipping", "trials=3", f"runs={tmp_path}"])
    create_study(asked.folder, asked.definition)
    again = read_request([f"folder={asked.folder}", "workers=1"])
    assert again.definition == asked.definition
    assert again.folder == asked.folder


def test_a_sweep_of_ones_own_lies_in_a_folder_of_ones_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NINES_CONFIG_DIR", "")  # restored afterwards: the command sets it for its workers
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "heads.yaml").write_text(
        "# @package _global_\n# Mine\nname: heads\nquestion: Does it pay?\n"
        "space:\n  module.model.pooling: choice(cls, mean)\ntrials: 2\nsampler: {name: grid}\n"
    )
    assert main(["sweep", "--config-dir", str(tmp_path), "--cfg", "job", "sweep=heads"]) == 0
    assert "Does it pay?" in capsys.readouterr().out
