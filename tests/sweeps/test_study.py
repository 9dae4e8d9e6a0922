import os
import subprocess
import sys
import time

import optuna
import pytest

from nines.errors import SweepError
from sweeps.life_cycle import finish, retry_failed, take
from sweeps.outcome import Outcome
from sweeps.storage import open_storage
from sweeps.study import create_study, find_in_storage, find_sweep, open_study, recorded_definition
from tests.sweeps.conftest import REPOSITORY, definition


def test_a_sweep_is_opened_again_as_it_was_defined(make_sweep):
    made = make_sweep(seeds=2)
    opened = open_study(made.folder)
    assert (opened.definition, opened.storage_url, opened.name) == (made.definition, made.storage_url, "toy")


def test_another_definition_in_the_same_folder_is_refused_with_what_differs(make_sweep):
    make_sweep()
    with pytest.raises(SweepError, match=r"holds another sweep: space.x: interval\(0, 1\) -> interval\(0, 2\)"):
        make_sweep(space={"x": "interval(0, 2)"})


def test_the_number_of_trials_the_sampler_and_the_pruner_may_change(make_sweep):
    make_sweep()
    make_sweep(trials=9, sampler="tpe", pruner="median")
    opened = open_study(make_sweep(trials=9, sampler="tpe", pruner="median").folder)
    assert (opened.definition.trials, opened.definition.sampler["name"]) == (9, "tpe")


def test_the_storage_of_a_sweep_cannot_be_exchanged(make_sweep, tmp_path):
    made = make_sweep()
    with pytest.raises(SweepError, match="keeps its study in journal:"):
        create_study(made.folder, definition(), storage=f"sqlite:///{tmp_path}/other.db")


def test_a_study_may_lie_in_a_database(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    create_study(tmp_path / "toy", definition(), storage=url)
    assert open_study(tmp_path / "toy").storage_url == url
    assert optuna.load_study(study_name="toy", storage=url).user_attrs["definition"]["name"] == "toy"


def test_sweeps_are_found_by_name_with_or_without_hash_the_newest_first(tmp_path):
    for index, name in enumerate(("toy-aaaa", "toy-bbbb", "other-cccc")):
        create_study(tmp_path / name, definition())
        os.utime(tmp_path / name / "sweep.yaml", (index, index))
    assert find_sweep(tmp_path, "toy") == tmp_path / "toy-bbbb"
    assert find_sweep(tmp_path, "toy-aaaa") == tmp_path / "toy-aaaa"
    with pytest.raises(SweepError, match=r"no sweep 'toyy'.*toy-aaaa"):
        find_sweep(tmp_path, "toyy")


def test_a_definition_is_read_without_opening_the_storage(make_sweep):
    made = make_sweep(seeds=3)
    (made.folder / "study.journal").unlink()
    assert recorded_definition(made.folder) == made.definition
    assert not (made.folder / "study.journal").exists()
    with pytest.raises(SweepError, match="holds no sweep"):
        recorded_definition(made.folder.parent)


@pytest.mark.parametrize("scheme", ["journal:", "sqlite:///"])
def test_a_sweep_is_found_in_its_storage_where_the_folder_is_not_to_be_seen(tmp_path, scheme):
    url = f"{scheme}{tmp_path}/study"
    for name in ("toy-bbbb", "toy-aaaa"):
        create_study(tmp_path / "there" / name, definition(), storage=url)
    optuna.create_study(study_name="toy-cccc", storage=open_storage(url))  # not one of ours
    assert find_in_storage(url, "toy").visible
    (tmp_path / "there").rename(tmp_path / "gone")
    found = find_in_storage(url, "toy")
    assert (found.name, found.folder, found.visible) == ("toy-aaaa", tmp_path / "there" / "toy-aaaa", False)
    assert (found.definition, found.trials()) == (definition(), [])
    with pytest.raises(SweepError, match=r"no sweep 'toyy'.*valid: toy-aaaa, toy-bbbb"):
        find_in_storage(url, "toyy")


def test_looking_into_a_storage_that_is_not_there_does_not_make_it(tmp_path):
    for url in (f"journal:{tmp_path}/none", f"sqlite:///{tmp_path}/none"):
        with pytest.raises(SweepError, match="there is no storage"):
            find_in_storage(url, "toy")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_trial_is_retried_from_the_storage_alone(tmp_path):
    url = f"journal:{tmp_path}/study"
    sweep = create_study(tmp_path / "there" / "toy-aaaa", definition(trials=1, retries=0), storage=url)
    finish(sweep, take(sweep).number, Outcome("failed", reason="it broke"))
    (tmp_path / "there").rename(tmp_path / "gone")
    found = find_in_storage(url, "toy")
    assert retry_failed(found) == [0]
    assert [row.state for row in found.trials()] == ["failed", "waiting"]
    assert not (tmp_path / "there").exists()


def test_a_folder_without_a_sweep_is_one_line(tmp_path):
    with pytest.raises(SweepError, match="holds no sweep"):
        open_study(tmp_path)


def test_a_thousand_trials_are_read_within_a_second_and_without_torch(make_sweep):
    sweep = make_sweep(trials=1000)
    rows = [
        optuna.trial.create_trial(
            state=optuna.trial.TrialState.COMPLETE,
            params={"x": index / 1000},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
            values=[index / 1000],
            intermediate_values=dict.fromkeys(range(5), 0.5),
            user_attrs={"group": index, "seed": 0, "attempt": 0, "folder": f"trials/{index:04d}"},
        )
        for index in range(1000)
    ]
    sweep.study().add_trials(rows)
    code = (
        "import sys, time; from pathlib import Path; started = time.process_time(); "
        "from sweeps.study import open_study; from sweeps.progress import Snapshot; "
        "from sweeps.report.summary import summary_table; sweep = open_study(Path(sys.argv[1])); "
        "trials = sweep.trials(); Snapshot.of(trials, sweep.definition, workers=1); "
        "summary_table(trials, sweep.definition, limit=40); "
        "assert 'torch' not in sys.modules; print(len(trials), time.process_time() - started)"
    )
    started = time.monotonic()
    printed = subprocess.run(
        [sys.executable, "-c", code, str(sweep.folder)], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout.split()
    assert printed[0] == "1000"
    # Processor time, since the machine that tests may be busy with other things.
    assert float(printed[1]) < 1.0, f"{printed[1]} s of {time.monotonic() - started:.1f} s"
