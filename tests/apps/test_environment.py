import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

import apps.environment
from apps.environment import RECORDED_PACKAGES, describe_environment, record_environment, slurm_variables
from nines.run_folder import RunFolder


def make_checkout(folder: Path) -> Path:
    """A repository whose only file is a module of the name that the commit is looked up by."""
    module = folder / "environment.py"
    module.write_text("")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)
    return module


def test_versions_are_those_that_are_installed_and_a_missing_package_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps.environment, "RECORDED_PACKAGES", (*RECORDED_PACKAGES, "no-such-package"))
    found = describe_environment(seed=7, threads=3)
    assert (found["seed"], found["threads"]) == (7, 3)
    assert found["versions"]["torch"] == version("torch")
    assert found["versions"]["no-such-package"] is None
    assert json.loads(json.dumps(found)) == found


def test_the_commit_is_that_of_the_checkout_and_changes_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = make_checkout(tmp_path)
    monkeypatch.setattr(apps.environment, "__file__", str(module))
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    found = describe_environment(seed=0, threads=1)
    assert (found["commit"], found["uncommitted_changes"]) == (head.stdout.strip(), False)
    module.write_text("changed")
    assert describe_environment(seed=0, threads=1)["uncommitted_changes"] is True


def test_code_that_lies_inside_anothers_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment often lies inside some repository that does not track it."""
    make_checkout(tmp_path)
    installed = tmp_path / "site-packages" / "environment.py"
    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr(apps.environment, "__file__", str(installed))
    assert describe_environment(seed=0, threads=1)["commit"] is None


def test_a_machine_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps.environment, "__file__", str(make_checkout(tmp_path)))
    monkeypatch.setenv("PATH", "")
    assert describe_environment(seed=0, threads=1)["commit"] is None


def test_the_run_folder_keeps_the_difference_while_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = make_checkout(tmp_path)
    monkeypatch.setattr(apps.environment, "__file__", str(module))
    folder = RunFolder(tmp_path / "run")
    module.write_text("changed = 1\n")
    (tmp_path / "new_module.py").write_text("new = 1\n")
    record_environment(folder, seed=0, threads=1)
    difference = (folder.path / "environment.diff").read_text()
    assert "+changed = 1" in difference
    assert "+new = 1" in difference
    assert json.loads(folder.environment.read_text())["untracked_code"] == ["new_module.py"]
    module.write_text("")
    (tmp_path / "new_module.py").unlink()
    record_environment(folder, seed=0, threads=1)
    assert not (folder.path / "environment.diff").exists()


def test_the_kept_difference_holds_no_password_of_changed_or_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = make_checkout(tmp_path)
    monkeypatch.setattr(apps.environment, "__file__", str(module))
    module.write_text('url = "postgresql://me:hunter2@host/db"\nlr = 0.1\n')
    (tmp_path / "site.yaml").write_text("password: hunter2\npartition: gpu\n")
    folder = RunFolder(tmp_path / "run")
    record_environment(folder, seed=0, threads=1)
    difference = (folder.path / "environment.diff").read_text()
    assert "hunter2" not in difference
    assert '+url = "postgresql://me:***@host/db"\n+lr = 0.1' in difference
    assert "+password: ***\n+partition: gpu" in difference


def test_the_kept_difference_names_new_code_that_is_too_large_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps.environment, "__file__", str(make_checkout(tmp_path)))
    monkeypatch.setattr("apps.checkout.MOST_NEW_BYTES", 100)
    (tmp_path / "tables.py").write_text("#" * 101)
    (tmp_path / "small.py").write_text("#")
    folder = RunFolder(tmp_path / "run")
    record_environment(folder, seed=0, threads=1)
    difference = (folder.path / "environment.diff").read_text()
    assert difference.endswith("(left out: tables.py, new and large)\n")
    assert "b/small.py" in difference
    assert "b/tables.py" not in difference


def test_slurm_variables_are_kept_without_anything_that_may_be_a_secret() -> None:
    assert slurm_variables({"SLURM_CONF": "/etc/slurm.conf"}) == {}
    environment = {
        "SLURM_JOB_ID": "12",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JWT": "eyJhbGciOi",
        "SLURM_DB_PASSWORD": "x",
        "SLURM_STORAGE": "postgresql://me:secret@db/studies",
        "NINES_STORAGE_PASSWORD": "secret",
        "HOME": "/root",
    }
    assert slurm_variables(environment) == {"SLURM_JOB_ID": "12", "SLURM_JOB_NODELIST": "node[1-2]"}


def test_a_resumed_run_keeps_the_commits_of_its_former_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = iter(["a", "a", "b", "c"])

    def describe(**_: object) -> dict[str, object]:
        return {"commit": next(commits), "seed": 0, "slurm": {"SLURM_JOB_ID": "7"}}

    monkeypatch.setattr(apps.environment, "describe_environment", describe)
    folder = RunFolder(tmp_path)

    def recorded() -> tuple[str, list[str]]:
        record_environment(folder, seed=0, threads=1)
        found = json.loads(folder.environment.read_text())
        return found["commit"], [one["commit"] for one in found["former"]]

    assert recorded() == ("a", [])
    folder.checkpoints.mkdir()
    folder.last.touch()
    assert recorded() == ("a", [])
    assert recorded() == ("b", ["a"])
    assert recorded() == ("c", ["a", "b"])
    folder.last.unlink()
    commits = iter(["d"])
    assert recorded() == ("d", [])
