"""The container recipe as far as it can be checked without building it: shell, versions, and that its parts agree."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "slurm" / "container"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
EXTRAS = ("deepspeed", "postgresql", "dashboard")
NEEDED = [
    Requirement(text)
    for text in (
        *PROJECT["dependencies"],
        *(line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra]),
    )
]
PIN = re.compile(r"(?P<name>[a-z-]+)(\[[a-z]+\])?==(?P<version>[0-9.]+) +# (?P<reason>\S.*)")


def pins() -> dict[str, str]:
    found = {}
    for line in (RECIPE / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            match = PIN.fullmatch(line)
            assert match is not None, f"neither exact nor with a reason: {line}"
            found[match["name"]] = match["version"]
    return found


def section(name: str) -> str:
    text = (RECIPE / "nines.def").read_text(encoding="utf-8")
    match = re.search(rf"^%{name}\n(.*?)(?=^%|\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


@pytest.mark.parametrize("requirement", NEEDED, ids=lambda requirement: requirement.name)
def test_each_requirement_is_pinned_inside_its_bounds(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[requirement.name])


def test_nothing_else_is_pinned() -> None:
    assert set(pins()) == {requirement.name for requirement in NEEDED}


@pytest.mark.parametrize("part", ["post", "test"])
def test_the_sections_of_the_definition_are_shell(part: str) -> None:
    assert section(part).strip()
    subprocess.run(["bash", "-n"], input=section(part), text=True, check=True)


def test_the_script_is_shell() -> None:
    subprocess.run(["bash", "-n", str(RECIPE / "install.sh")], check=True)


def test_both_recipes_have_one_base_whose_cuda_is_that_of_torchs_index() -> None:
    docker = re.search(r"^FROM (\S+)$", (RECIPE / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    apptainer = re.search(r"^From: (\S+)$", (RECIPE / "nines.def").read_text(encoding="utf-8"), re.MULTILINE)
    index = re.search(r"whl/cu(\d+)(\d)\b", (RECIPE / "install.sh").read_text(encoding="utf-8"))
    assert docker is not None
    assert apptainer is not None
    assert index is not None
    assert docker[1] == apptainer[1]
    assert docker[1].startswith(f"nvidia/cuda:{index[1]}.{index[2]}.")
    # DeepSpeed compiles with nvcc, which only this kind of image has.
    assert "-devel-" in docker[1]


def test_both_recipes_run_the_same_script_and_say_that_they_were_never_built() -> None:
    for name in ("Dockerfile", "nines.def"):
        text = (RECIPE / name).read_text(encoding="utf-8")
        assert "bash /src/nines/slurm/container/install.sh /src/nines" in text
        assert "never built" in text


def test_the_version_that_the_script_takes_for_torch_is_the_pinned_one() -> None:
    script = (RECIPE / "install.sh").read_text(encoding="utf-8")
    command = re.search(r"\$\((grep [^)]*)\)", script)
    assert command is not None
    environment = {"recipe": str(RECIPE), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", command[1]], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"torch=={pins()['torch']}"


def test_both_recipes_copy_what_the_installation_needs_and_nothing_else() -> None:
    packages = {package.partition(".")[0] for package in SETTINGS["tool"]["setuptools"]["packages"]}
    needed = packages | {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    ignored = (RECIPE / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == needed
    copied = [line.split() for line in section("files").splitlines() if line.strip()]
    assert {source for source, _ in copied} == needed
    assert all(target == f"/src/nines/{source}" for source, target in copied)
