import math

import pytest

from nines.errors import StorageError
from sweeps.life_cycle import finish, take
from sweeps.outcome import Outcome
from sweeps.reporting import TrialReporter

MEDIAN = {"name": "median", "options": {"n_startup_trials": 1, "n_warmup_steps": 0}}


def reporter(job):
    return TrialReporter(job.storage, job.study, job.trial_id)


def first_good_trial(sweep):
    job = take(sweep)
    for step in (1, 2):
        reporter(job).report(0.9, step)
    finish(sweep, job.number, Outcome("completed", (0.9,), {"score": 0.9}))


def test_a_trial_worse_than_the_median_is_told_to_stop(make_sweep):
    sweep = make_sweep(pruner=MEDIAN)
    first_good_trial(sweep)
    job = take(sweep)
    assert reporter(job).report(0.1, 1)
    assert sweep.trials()[1].intermediate_values == {1: 0.1}


def test_a_good_trial_goes_on(make_sweep):
    sweep = make_sweep(pruner=MEDIAN)
    first_good_trial(sweep)
    assert not reporter(take(sweep)).report(0.95, 1)


def test_repeats_over_seeds_are_never_pruned(make_sweep):
    sweep = make_sweep(pruner=MEDIAN, seeds=2)
    first_good_trial(sweep)
    repeat = take(sweep)
    assert "seed=1" in repeat.overrides
    assert not reporter(repeat).report(0.1, 1)


def test_a_resumed_run_may_report_a_step_again(make_sweep):
    sweep = make_sweep()
    job = take(sweep)
    reporter(job).report(0.5, 1)
    again = reporter(job)
    again.report(0.7, 1)
    again.report(0.6, 2)
    assert sweep.trials()[0].intermediate_values == {1: 0.5, 2: 0.6}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_neither_reported_nor_pruned(make_sweep, value):
    sweep = make_sweep(pruner=MEDIAN)
    first_good_trial(sweep)
    assert not reporter(take(sweep)).report(value, 1)
    assert sweep.trials()[1].intermediate_values == {}


def test_several_objectives_are_not_reported(make_sweep):
    sweep = make_sweep(objectives=["maximize score", "minimize cost"], sampler="random")
    assert not reporter(take(sweep)).report(0.5, 1)
    assert sweep.trials()[0].intermediate_values == {}


def test_pruning_works_from_the_trials_own_process(make_sweep, start_worker):
    sweep = make_sweep(
        space={"x": "choice(0.3, 9.0)"}, sampler="grid", trials=2, train=["report=1", "steps=4"], pruner=MEDIAN
    )
    assert start_worker(sweep).wait(60) == 0
    good, bad = sweep.trials()
    assert (good.state, bad.state) == ("completed", "pruned")
    assert bad.reason == "pruned at step 1"
    assert bad.value == bad.intermediate_values[1]


def test_a_storage_that_fails_stops_no_training_and_hears_of_the_step_later(make_sweep, monkeypatch, capsys):
    sweep = make_sweep(pruner=MEDIAN)
    first_good_trial(sweep)
    reporting = reporter(take(sweep))
    with monkeypatch.context() as patch:

        def refuse(*_arguments):
            raise StorageError("the storage is gone")

        patch.setattr("optuna.storages.journal.JournalStorage.set_trial_intermediate_value", refuse)
        assert not reporting.report(0.1, 1)
    assert "step 1 is not reported yet: the storage is gone" in capsys.readouterr().err
    assert sweep.trials()[1].intermediate_values == {}
    assert reporting.report(0.2, 2)
    assert sweep.trials()[1].intermediate_values == {1: 0.1, 2: 0.2}
