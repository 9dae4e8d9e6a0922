import multiprocessing
import time
from typing import Any

import pytest
from optuna.trial import TrialState

from nines.files import write_json
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder, RunStatus
from sweeps.claims import Claim
from sweeps.life_cycle import Idle, take
from sweeps.outcome import Outcome
from sweeps.settling import finish, settle_dead
from sweeps.study import Sweep, open_study
from tests.sweeps.conftest import completed, drain

DEAD = {"host": Claim.mine().host, "boot": Claim.mine().boot, "pid": 2**22 + 1, "started": "1"}


def kill_holder(sweep: Sweep, number: int) -> None:
    """Make the claim of trial `number` that of a process which does not exist."""
    trial_id = sweep.storage.get_trial_id_from_study_id_trial_number(sweep.study_id, number)
    sweep.storage.set_trial_user_attr(trial_id, "claim", DEAD)


def test_the_row_of_a_dead_worker_fails_and_its_retry_keeps_parameters_folder_and_reports(make_sweep):
    sweep = make_sweep(trials=1)
    first = take(sweep)
    sweep.storage.set_trial_intermediate_value(first.trial_id, 10, 0.25)
    kill_holder(sweep, first.number)
    second = take(sweep)
    assert (second.folder, second.overrides) == (first.folder, first.overrides)
    old, new = sweep.trials()
    assert (old.state, old.superseded, new.retry_of) == ("failed", True, old.number)
    assert new.intermediate_values == {10: 0.25}


def test_a_claim_on_another_machine_is_left_alone(make_sweep):
    sweep = make_sweep(trials=1)
    job = take(sweep)
    sweep.storage.set_trial_user_attr(job.trial_id, "claim", {**DEAD, "host": "elsewhere"})
    assert settle_dead(sweep) == []
    assert sweep.trials()[0].state == "running"


def test_a_worker_that_dies_before_its_claim_costs_no_retry(make_sweep):
    sweep = make_sweep(trials=1, retries=0)
    trial = sweep.study().ask()
    sweep.definition.space.suggest(trial)
    for key, value in {"seed": 0, "attempt": 0, "group": 0}.items():
        trial.set_user_attr(key, value)
    assert len(drain(sweep)) == 1
    assert [trial.state for trial in sweep.trials()] == ["failed", "completed"]
    assert sweep.trials()[0].params == sweep.trials()[1].params


def test_what_a_dead_workers_run_had_become_is_kept(make_sweep):
    sweep = make_sweep(trials=2)
    for end in ("completed", "pruned"):
        job = take(sweep)
        folder = RunFolder(job.folder)
        write_json(folder.metrics, {"metrics": {"score": 0.9}})
        RunStatus(end).write(folder)
        kill_holder(sweep, job.number)
    settle_dead(sweep)
    assert [trial.state for trial in sweep.trials()] == ["completed", "pruned"]
    assert take(sweep) is Idle.DONE


def test_only_one_of_two_finishers_wins(make_sweep):
    sweep = make_sweep(trials=1)
    job = take(sweep)
    other = open_study(sweep.folder)
    assert finish(sweep, job.number, completed(0.5))
    assert not finish(other, job.number, Outcome("failed", reason="too late"))
    assert (sweep.trials()[0].state, sweep.trials()[0].value) == ("completed", 0.5)


def _look(folder: Any, queue: Any) -> None:
    sweep = open_study(folder)
    for number in settle_dead(sweep):
        queue.put(number)


def test_of_several_lookers_exactly_one_fails_a_dead_trial(make_sweep):
    sweep = make_sweep(trials=1)
    job = take(sweep)
    kill_holder(sweep, job.number)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    lookers = [context.Process(target=_look, args=(sweep.folder, queue)) for _ in range(4)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    assert queue.get(timeout=5) == job.number
    assert queue.empty()
    assert sweep.storage.get_trial(job.trial_id).state == TrialState.FAIL


@pytest.mark.parametrize(("silent", "held", "gone"), [(True, False, True), (True, True, False), (False, False, False)])
def test_a_trial_of_another_machine_is_gone_when_its_folder_is_silent_and_free(
    make_sweep, silent, held, gone, monkeypatch
):
    monkeypatch.setattr("sweeps.liveness.FOREIGN_SILENCE_SECONDS", 100.0 if not silent else 0.2)
    sweep = make_sweep(trials=1)
    job = take(sweep)
    sweep.storage.set_trial_user_attr(job.trial_id, "claim", {**DEAD, "host": "elsewhere"})
    folder = RunFolder(job.folder)
    RunStatus("running").write(folder)
    time.sleep(0.3)
    lock = lock_folder(folder.path) if held else None
    assert settle_dead(sweep) == ([job.number] if gone else [])
    if lock is not None:
        lock.close()


def test_a_worker_whose_trial_was_taken_over_cannot_say_how_it_ended(make_sweep):
    sweep = make_sweep(trials=1)
    first = take(sweep)
    finish(sweep, first.number, Outcome("interrupted"), claim=first.claim)
    assert not finish(sweep, first.number, completed(0.1), claim=first.claim), "it had given the claim back"
    second = take(sweep)
    assert not finish(sweep, first.number, completed(0.2), claim=first.claim)
    assert finish(sweep, second.number, completed(0.5), claim=second.claim)
    assert [(trial.state, trial.value) for trial in sweep.trials()] == [("completed", 0.5)]
