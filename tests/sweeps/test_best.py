import json

import pytest

from nines.checkpoint_folder import consolidated_file
from nines.errors import SweepError
from nines.run_folder import RunFolder
from sweeps.best import copy_best
from sweeps.life_cycle import finish, take
from sweeps.outcome import Outcome
from tests.nines.test_checkpoint_folder import sharded_checkpoint


def completed_trial(sweep, value, *, threshold=True):
    job = take(sweep)
    folder = RunFolder(job.folder)
    folder.checkpoints.mkdir(parents=True)
    folder.best.write_text(f"weights of {job.number}")
    folder.config.write_text("a: 1")
    if threshold:
        folder.threshold.write_text(json.dumps({"threshold": value}))
    finish(sweep, job.number, Outcome("completed", (value,), {"score": value}))


def test_the_best_trials_model_config_and_threshold_are_copied(make_sweep, tmp_path):
    sweep = make_sweep(trials=2)
    completed_trial(sweep, 0.9)
    completed_trial(sweep, 0.5)
    record, copied = copy_best(sweep, tmp_path / "model")
    assert record.number == 0
    assert copied.best.read_text() == "weights of 0"
    assert json.loads(copied.threshold.read_text()) == {"threshold": 0.9}
    assert json.loads((copied.path / "trial.json").read_text())["trial"] == 0


def test_a_threshold_of_an_earlier_best_does_not_stay(make_sweep):
    sweep = make_sweep(trials=2)
    completed_trial(sweep, 0.5)
    copy_best(sweep)
    completed_trial(sweep, 0.9, threshold=False)
    _, copied = copy_best(sweep)
    assert copied.best.read_text() == "weights of 1"
    assert not copied.threshold.exists()


def test_without_a_completed_trial_there_is_no_best(make_sweep):
    with pytest.raises(SweepError, match="no trial of toy has completed"):
        copy_best(make_sweep())


def test_a_missing_checkpoint_is_said(make_sweep):
    sweep = make_sweep(trials=1)
    completed_trial(sweep, 0.5)
    RunFolder(sweep.trials()[0].folder).best.unlink()
    with pytest.raises(SweepError, match=r"best.ckpt is missing, so trial 0 cannot be copied"):
        copy_best(sweep)


def test_shards_must_be_made_one_file_first_which_is_then_copied(make_sweep):
    sweep = make_sweep(trials=1)
    completed_trial(sweep, 0.5)
    source = RunFolder(sweep.trials()[0].folder)
    source.best.unlink()
    manifest = sharded_checkpoint(source.best, step=3)
    with pytest.raises(SweepError, match=f"nines checkpoint consolidate {source.path}$"):
        copy_best(sweep)
    consolidated_file(source.best, manifest).write_text("whole weights")
    assert copy_best(sweep)[1].best.read_text() == "whole weights"
