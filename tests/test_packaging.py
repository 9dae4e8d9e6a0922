"""The wheel, installed outside the checkout: every package, every config file and the embedded data came along."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
TOPS = sorted({package.partition(".")[0] for package in PACKAGES})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for top in TOPS:
        shutil.copytree(CHECKOUT / top, source / top, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source / name)
    # A file that nobody listed must not slip in.
    (source / "nines" / "notes.txt").write_text("not for shipping", encoding="utf-8")
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment that holds the wheel, and finds what it needs in the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)],
        check=True,
    )
    (site,) = (folder / "lib").glob("python*/site-packages")
    # A path file adds the folder alone: the path files in it, among them that of an editable nines, are not read.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder


def run(installed: Path, *words: str, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}
    done = subprocess.run(
        [str(installed / "bin" / words[0]), *words[1:]],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_package_of_the_checkout_is_listed() -> None:
    found = {
        ".".join(path.parent.relative_to(CHECKOUT).parts)
        for top in TOPS
        for path in (CHECKOUT / top).rglob("__init__.py")
    }
    assert found == set(PACKAGES)


def test_the_wheel_holds_what_is_listed_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {name for name in names if ".dist-info/" not in name}
    expected = {
        path.relative_to(CHECKOUT).as_posix()
        for top in TOPS
        for pattern in ("*.py", "*.yaml", "*.jsonl", "*.md", "py.typed")
        for path in (CHECKOUT / top).rglob(pattern)
        # The recipe of the container is used in a checkout, which it copies.
        if "container" not in path.relative_to(CHECKOUT).parts
    }
    assert files == expected
    assert sum(name.startswith("conf/") and name.endswith(".yaml") for name in files) > 20
    assert "datamodules/embedded/injury/labelled/train.jsonl" in files


def test_every_package_comes_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    ask = (
        "import importlib, json, sys; print(json.dumps({n: importlib.import_module(n).__file__ for n in sys.argv[1:]}))"
    )
    found = json.loads(run(installed, "python", "-c", ask, *TOPS, cwd=tmp_path))
    assert set(found) == set(TOPS)
    for file in found.values():
        assert Path(file).is_relative_to(installed)


def test_the_commands_work_from_any_folder(installed: Path, tmp_path: Path) -> None:
    assert "usage: nines" in run(installed, "nines", "--help", cwd=tmp_path)
    config = run(installed, "nines", "train", "--cfg", "job", "imbalance=focal", cwd=tmp_path)
    assert "nines.losses.focal.FocalLoss" in config
    report = run(installed, "nines", "data", "check", "embedded:injury", cwd=tmp_path)
    # 507 prompts train, 117 validate, 156 test: see the README of the data.
    for count in ("507", "117", "156"):
        assert count in report


def test_the_doctor_reads_the_requirements_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    ask = "from apps.machine import _requirements; print(len(_requirements()))"
    assert int(run(installed, "python", "-c", ask, cwd=tmp_path)) == len(PROJECT["project"]["dependencies"])


def test_every_dependency_is_bounded_from_both_sides() -> None:
    extras = [line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines]
    for requirement in [*PROJECT["project"]["dependencies"], *extras]:
        if requirement.startswith("nines-lab["):  # an extra made of other extras, which are looked at themselves
            continue
        assert ">=" in requirement, requirement
        assert ",<" in requirement, requirement
