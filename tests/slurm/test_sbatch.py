"""The batch script against recorded files; a change of the text shows as a difference to be looked at."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nines.errors import ConfigError
from slurm.options import SlurmOptions
from slurm.sbatch import BatchJob, render

GOLDEN = Path(__file__).parent / "golden"

PLAIN = BatchJob(
    name="nines-train-classifier-1a2b3c4d",
    command=("/env/bin/python", "-m", "slurm.supervisor", "--job", "runs/train/x/job.json"),
    log=Path("/data/runs/train/x/slurm-%j.log"),
    options=SlurmOptions(python="/env/bin/python"),
    nodes=1,
    tasks_per_node=1,
    folder=Path("/data"),
)
EVERYTHING = BatchJob(
    name="nines-sweep-clipping",
    command=("/env/bin/python", "-m", "sweeps.worker", "--folder", "/data/my runs/sweep/it's"),
    log=Path("/data/my runs/sweep/it's/workers/slurm-%A_%a.log"),
    options=SlurmOptions(
        partition="gpu",
        account="lab",
        qos="long",
        time="1-12:00:00",
        gpus_per_node="a100:4",
        cpus_per_task=8,
        memory="256G",
        constraint="a100&nvlink",
        exclude="node[3-4]",
        mail_user="someone@example.org",
        mail_type="END,FAIL",
        signal_seconds=300,
        requeue=False,
        trials_per_job=2,
        max_running=8,
        setup=("module load cuda/13.0", 'source "$HOME/miniforge3/bin/activate" nines'),
        extra=("--reservation=night shift", "--exclusive"),
        python="/env/bin/python",
    ),
    nodes=2,
    tasks_per_node=2,
    folder=Path("/data/my runs"),
    array=16,
    exports={"OMP_NUM_THREADS": "8", "NOTE": "a 'quoted' $(word)\n#SBATCH --comment=no"},
    comment="sweep clipping",
)
CASES = {"plain": PLAIN, "everything": EVERYTHING}


@pytest.mark.parametrize("name", CASES)
def test_the_script_is_the_recorded_one(name: str) -> None:
    assert render(CASES[name]) == (GOLDEN / f"{name}.sh").read_text(encoding="utf-8")


def test_every_recorded_script_belongs_to_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.sh")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_bash_can_read_the_script(name: str) -> None:
    subprocess.run(["bash", "-n"], input=render(CASES[name]), text=True, check=True)


def test_the_command_takes_the_place_of_the_shell_with_its_words_whole(tmp_path: Path) -> None:
    words = ("/bin/sh", "-c", 'echo $$ "$1" "$NOTE"', "sh", "two  words; 'and' $(more)\n#SBATCH --x")
    script = render(dataclasses.replace(PLAIN, command=words, folder=tmp_path, exports={"NOTE": "$HOME `id` \"'"}))
    shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    output, _ = shell.communicate(script)
    assert output == f"{shell.pid} two  words; 'and' $(more)\n#SBATCH --x $HOME `id` \"'\n"


def test_a_failing_setup_line_ends_the_job_before_the_command() -> None:
    options = SlurmOptions(setup=("false",))
    script = render(dataclasses.replace(PLAIN, options=options, command=("echo", "started")))
    done = subprocess.run(["bash"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_notice_before_the_command_listens_does_not_end_the_job() -> None:
    options = SlurmOptions(setup=("kill -USR1 $$",))
    script = render(dataclasses.replace(PLAIN, options=options, command=("echo", "started")))
    assert subprocess.run(["bash"], input=script, text=True, capture_output=True, check=True).stdout == "started\n"


def test_directives_come_before_the_first_command() -> None:
    lines = render(EVERYTHING).splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert [i for i, line in enumerate(lines) if line.startswith("#SBATCH") and i > first] == [
        # Inside the quotes of a variable, where sbatch no longer looks.
        lines.index("#SBATCH --comment=no'")
    ]


def test_an_array_without_a_cap_has_no_percent_sign() -> None:
    assert "#SBATCH --array=0-3\n" in render(dataclasses.replace(PLAIN, array=4))


def test_a_percent_sign_in_the_folder_of_the_log_is_no_pattern_while_one_in_its_name_is() -> None:
    script = render(dataclasses.replace(PLAIN, log=Path("/data/100%j/slurm-%j.log"), folder=Path("/data/100%j")))
    assert "#SBATCH --output=/data/100%%j/slurm-%j.log\n" in script
    assert "#SBATCH --chdir=/data/100%j\n" in script


@pytest.mark.parametrize(
    "values",
    [{"name": "a\\b"}, {"comment": "a\\b"}, {"folder": Path("/data/a\\b")}, {"log": Path("/data/a\\b/%j.log")}],
)
def test_a_backslash_which_sbatch_would_drop_is_refused_in_one_line(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"a\\b.* SLURM has no way to write a backslash") as raised:
        dataclasses.replace(PLAIN, **values)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "values",
    [
        {"name": "x\n#SBATCH --uid=0"},
        {"comment": "x\r#SBATCH --uid=0"},
        {"folder": Path("/data/x\n#SBATCH --uid=0")},
        {"log": Path("/data/\x0b.log")},
        {"exports": {"A=1\nB": "x"}},
        {"exports": {"A": "x\0y"}},
        {"command": ()},
        {"nodes": 0},
        {"array": 0},
    ],
)
def test_what_would_break_out_of_its_line_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(PLAIN, **values)
