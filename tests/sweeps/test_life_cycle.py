import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import optuna
import pytest
from optuna.trial import TrialState

from sweeps.life_cycle import Idle, finish, retry_failed, take
from sweeps.outcome import Outcome
from sweeps.records import results
from sweeps.slots import Slots
from sweeps.storage import open_storage
from tests.sweeps.conftest import completed, drain


def test_take_gives_the_sets_asked_for_and_then_says_done(make_sweep):
    sweep = make_sweep(trials=3, seeds=2)
    jobs = drain(sweep)
    assert len({job.folder for job in jobs}) == 6
    assert [(trial.group, trial.seed) for trial in sweep.trials()] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert take(sweep) is Idle.DONE


def test_more_trials_later_add_only_the_difference(make_sweep):
    drain(make_sweep(trials=2))
    grown = make_sweep(trials=5)
    assert len(drain(grown)) == 3
    assert {trial.group for trial in grown.trials()} == set(range(5))


def test_what_others_hold_is_waited_for(make_sweep):
    sweep = make_sweep(trials=1)
    take(sweep)
    assert take(sweep) is Idle.LATER


def test_interrupted_trials_are_taken_again_as_the_same_row(make_sweep):
    sweep = make_sweep(trials=1)
    first = take(sweep)
    finish(sweep, first.number, Outcome("interrupted", reason="Ctrl-C at step 4"))
    assert sweep.trials()[0].state == "interrupted"
    assert take(sweep) == first
    assert len(sweep.trials()) == 1


def test_the_time_of_an_interrupted_trial_leaves_out_its_pause(make_sweep):
    sweep = make_sweep(trials=1)
    first = take(sweep)
    finish(sweep, first.number, Outcome("interrupted"), spent=10.0)
    finish(sweep, take(sweep).number, completed(0.5), spent=5.0)
    assert sweep.trials()[0].seconds == 15.0


def test_a_worker_that_dies_while_asking_leaves_nothing_that_counts(make_sweep):
    sweep = make_sweep(trials=2)
    sweep.study().ask()
    jobs = drain(sweep)
    assert len(jobs) == 2
    assert [(row.group, row.state) for row in results(sweep.trials())] == [(0, "completed"), (1, "completed")]


def test_a_worker_that_dies_while_it_restores_parameters_changes_none_of_them(make_sweep):
    sweep = make_sweep(space={"x": "interval(0, 1)", "y": "interval(0, 1)"}, trials=1)
    first = take(sweep)
    finish(sweep, first.number, Outcome("failed", reason="raised"))
    retry_failed(sweep)
    begun = sweep.storage.get_trial_id_from_study_id_trial_number(sweep.study_id, 1)
    sweep.storage.set_trial_state_values(begun, TrialState.RUNNING)
    optuna.trial.Trial(sweep.study(), begun).suggest_float("x", 0, 1)
    assert take(sweep).overrides == first.overrides


def test_a_failed_trial_is_retried_only_when_its_process_died_and_at_most_so_often(make_sweep):
    sweep = make_sweep(trials=2, retries=1)
    first, second = take(sweep), take(sweep)
    finish(sweep, first.number, Outcome("failed", reason="raised"))
    finish(sweep, second.number, Outcome("failed", reason="killed", retry=True))
    third = take(sweep)
    assert third.folder == second.folder
    finish(sweep, third.number, Outcome("failed", reason="killed", retry=True))
    assert take(sweep) is Idle.DONE


def test_retry_puts_failed_trials_back_with_a_fresh_allowance(make_sweep):
    sweep = make_sweep(trials=2, retries=0)
    first, second = take(sweep), take(sweep)
    finish(sweep, first.number, Outcome("failed", reason="raised"))
    finish(sweep, second.number, completed(0.5))
    assert retry_failed(sweep) == [first.number]
    assert sweep.trials()[2].state == "waiting"
    again = take(sweep)
    assert again.overrides == first.overrides
    finish(sweep, again.number, completed(0.4))
    assert retry_failed(sweep) == []


def test_a_pruned_set_runs_no_further_seeds_and_the_others_wait_for_the_first(make_sweep):
    sweep = make_sweep(trials=2, seeds=3, pruner="median")
    first = take(sweep)
    second = take(sweep)
    assert [trial.group for trial in sweep.trials()] == [0, 1], "the first seed comes before the repeats"
    assert take(sweep) is Idle.LATER
    finish(sweep, first.number, Outcome("pruned"))
    finish(sweep, second.number, completed(0.5))
    drain(sweep)
    assert sorted((row.group, row.seed) for row in results(sweep.trials())) == [(0, 0), (1, 0), (1, 1), (1, 2)]


def test_a_grid_takes_every_combination_once_and_no_more(make_sweep):
    space = {"clipping": "choice(none, norm)", "x": "interval(0, 1)"}
    conditions = {"clipping=norm": {"max_norm": "choice(1, 2)"}}
    sweep = make_sweep(
        space=space, conditions=conditions, sampler={"name": "grid", "options": {"points": 2}}, trials=99
    )
    assert len(drain(sweep)) == 6
    seen = [tuple(sorted(trial.params.items())) for trial in sweep.trials()]
    assert len(set(seen)) == 6
    assert take(sweep) is Idle.DONE


@pytest.mark.parametrize("name", ["tpe", "random", "nsga2", "qmc"])
def test_the_sets_are_the_same_in_every_run_of_a_sweep(name, tmp_path):
    from sweeps.study import create_study
    from tests.sweeps.conftest import definition

    def sets(folder: str) -> list[float]:
        sweep = create_study(tmp_path / folder / "toy", definition(sampler=name, trials=4))
        drain(sweep)
        return [float(trial.params["x"]) for trial in sweep.trials()]

    first = sets("one")
    assert sets("two") == first
    assert len(set(first)) == 4


def test_several_objectives_are_told_in_their_order(make_sweep):
    sweep = make_sweep(objectives=["maximize score", "minimize cost"], sampler="nsga2", trials=1)
    job = take(sweep)
    assert job.objectives == ("score", "cost")
    finish(sweep, job.number, Outcome("completed", (0.5, 3.0), {"score": 0.5, "cost": 3.0}))
    assert sweep.trials()[0].values == (0.5, 3.0)
    assert sweep.study().directions == [optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE]


def test_a_seed_of_the_user_holds_when_there_are_no_repeats(make_sweep):
    assert "seed=7" in take(make_sweep(trials=1, train=["seed=7"])).overrides
    assert "seed=0" not in take(make_sweep(trials=2, train=["seed=7"])).overrides


def test_the_other_seeds_of_a_set_that_fails_are_not_tried(make_sweep):
    sweep = make_sweep(trials=2, seeds=3)
    job = take(sweep)
    finish(sweep, job.number, Outcome("failed", reason="bad parameters"))
    assert len(drain(sweep)) == 3


def test_two_who_retry_without_the_folder_at_the_same_moment_have_the_set_completed_once(make_sweep, tmp_path):
    sweep = make_sweep(trials=1, retries=0)
    finish(sweep, take(sweep).number, Outcome("failed", reason="raised"))
    hidden = sweep.folder.rename(tmp_path / "hidden")
    url = f"journal:{hidden / 'study.journal'}"
    looked = threading.Barrier(2)
    read = Slots.read

    class Simultaneous(Slots):
        @classmethod
        def read(cls, rows, definition):
            found = read(rows, definition)
            looked.wait(timeout=30)
            return found

    def retry():
        elsewhere = dataclasses.replace(sweep, storage_url=url, storage=open_storage(url))
        assert retry_failed(elsewhere) == [0]

    with mock.patch("sweeps.life_cycle.Slots", Simultaneous), ThreadPoolExecutor(2) as pool:
        for retried in [pool.submit(retry), pool.submit(retry)]:
            retried.result()
    hidden.rename(sweep.folder)
    assert [trial.state for trial in sweep.trials()] == ["failed", "waiting", "waiting"]
    job = take(sweep)
    assert job.number == 1
    assert take(sweep) is Idle.LATER
    finish(sweep, job.number, completed(0.5), claim=job.claim)
    assert take(sweep) is Idle.DONE
    assert retry_failed(sweep) == []
    assert [(trial.state, trial.reason) for trial in sweep.trials()[1:]] == [
        ("completed", ""),
        ("failed", "another row retries it"),
    ]
    assert [trial.number for trial in results(sweep.trials())] == [1]
