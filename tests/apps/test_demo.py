import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.cli import main
from apps.demo import context_of
from apps.pipeline.generating import read_rows
from apps.pipeline.stages import StageRecord
from benchmarks import ppo_seeds
from nines.errors import DataError, StorageError
from nines.files import read_json
from nines.policies.options import SamplingOptions
from tests.apps.pipeline.small_runs import small_runs

TINY = ["demo.size=tiny", "threads=1"]
# No bar: what it writes would drown what a test looks for.
QUIET = [f"demo.trainings.{name}.more=['trainer.enable_progress_bar=false']" for name in (
    "generator", "classifier", "reward_model", "judge_classifier", "judge_reward_model", "ppo"
)]  # fmt: skip
STAGES = (
    "division", "generator", "base_completions", "classifier", "threshold", "reward_model", "judge_classifier",
    "judge_reward_model", "ppo", "comparison",
)  # fmt: skip


def test_the_plan_lists_every_stage_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--plan", *TINY, f"runs={tmp_path / 'runs'}"]) == 0
    shown = capsys.readouterr().err
    assert all(f"  {name} " in shown for name in STAGES)
    assert "expected on 2 idle cores" in shown
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo.size=huge"], "unknown choice of the group 'demo'"),
        (["demo.filter.acceptance=2"], "demo.filter.acceptance must lie in (0, 1), got 2"),
        (["demo.fliter.acceptance=0.3"], "did you mean 'filter'"),
        (["demo.rows=many"], "demo.rows = 'many': expected"),
        (['demo.trainings.ppo.more=["module.kl.vlaue=1"]'], "did you mean 'value'"),
        (['demo.trainings.classifier.more=["datamodule.batch_size=many"]'], "datamodule.batch_size = 'many'"),
        (["demo.classifier=/nowhere"], "/nowhere holds no checkpoint"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "demo.size=tiny", *words, f"runs={tmp_path / 'runs'}"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_size_is_a_choice_and_the_folder_is_named_by_what_differs_from_it(tmp_path: Path) -> None:
    runs = f"runs={tmp_path}"
    tiny = context_of([runs, "demo.size=tiny"])
    assert tiny.options.size == "tiny"
    assert tiny.options.sampling == SamplingOptions(max_new_tokens=16)
    assert tiny.root.parent == tmp_path / "demo"
    assert tiny.root == context_of([runs, "demo=tiny"]).root
    assert tiny.root == context_of([runs, *TINY, "demo.trainings.ppo.seconds=7", "demo.filter.seconds=1"]).root
    others = [["demo.size=tiny", "seed=1"], ["demo.size=tiny", "demo.filter.acceptance=0.3"], []]
    assert len({tiny.root, *(context_of([runs, *words]).root for words in others)}) == 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole tiny run."""
    runs = tmp_path_factory.mktemp("runs")
    assert main(["demo", *TINY, *QUIET, f"runs={runs}"]) == 0
    return runs


def folder_in(runs: Path) -> Path:
    (folder,) = (runs / "demo").iterdir()
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tiny_demo_states_every_figure_and_shows_it(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_in(finished)
    found = read_json(folder / "results.json")
    assert list(found["policies"]) == ["base", "filtered", "distilled"]
    for policy in found["policies"].values():
        for who in ("judge", "own"):
            assert 0 <= policy["failure_rate"][who]["lower"] <= policy["failure_rate"][who]["upper"] <= 1
            assert 0 <= policy["quality"][who]["estimate"] <= 1
    assert found["policies"]["base"]["quality"]["judge"]["estimate"] == 0.5
    assert found["policies"]["filtered"]["tries"]["estimate"] >= 1
    assert found["judges"]["classifiers"]["judge"]["test"]["all"]["fnr"]["upper"] <= 1
    assert found["judges"]["reward_models"]["judge"]["test"]["accuracy"] >= 0
    assert 0.5 <= found["threshold"]["resulting_acceptance_share"] <= 0.6
    learners = found["division"]["learners"]
    assert set(learners) == {"generator", "classifier", "judges", "ppo"}
    assert [stage["name"] for stage in found["stages"]] == list(STAGES)
    for policy in found["policies"]:
        rows = read_rows(folder / "comparison" / f"{policy}.jsonl")
        assert len(rows) == found["policies"][policy]["prompts"] == 24
        assert all(len(row["attempts"]) == row["tries"] for row in rows)
    html = (folder / "report.html").read_text()
    for part in ("Goodhart gap", "What was not measured", "made by language models", "At random", "Worst first"):
        assert part in html
    assert html.count("<svg") == 3
    assert "http" not in html.replace("http://www.w3.org", "").replace("https://www.w3.org", "")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}
    assert main(["demo", *TINY, *QUIET, f"runs={finished}"]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("done before") == len(STAGES)
    assert "distilled" in shown.out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")} == before


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_and_interrupted_within_a_stage_it_goes_on_to_the_same_policy(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "runs")
    folder = folder_in(tmp_path / "runs")
    for name in ("ppo", "comparison"):
        shutil.rmtree(folder / name)
    command = [sys.executable, "-m", "apps.cli", "demo", *TINY, *QUIET, f"runs={tmp_path / 'runs'}"]

    killed = subprocess.Popen(command)
    wait_for((folder / "ppo" / "checkpoints" / "last.ckpt").exists, killed)
    killed.kill()
    killed.wait()
    record = StageRecord.read(folder / "ppo")
    assert record is not None
    assert not record.done

    interrupted = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for((folder / "comparison").exists, interrupted)
    interrupted.send_signal(signal.SIGINT)
    _, said = interrupted.communicate(timeout=600)
    assert interrupted.returncode == 130, said
    assert "the stage comparison is unfinished; what is done is kept" in said
    assert f"nines demo {TINY[0]}" in said

    assert main(["demo", *TINY, *QUIET, f"runs={tmp_path / 'runs'}"]) == 0
    for policy in ("base", "filtered", "distilled"):
        resumed, undisturbed = (
            read_rows(where / "comparison" / f"{policy}.jsonl") for where in (folder, folder_in(finished))
        )
        assert [row["completion"] for row in resumed] == [row["completion"] for row in undisturbed]


def wait_for(holds: Callable[[], bool], process: subprocess.Popen) -> None:
    until = time.monotonic() + 600
    while not holds():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_distillation_is_repeated_with_other_seeds_on_a_finished_demo(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(folder_in(finished)), "--seeds", "0", "1", "--epochs", "1", "--threads", "1"]
    command += ["--json", str(tmp_path / "figures.json")]
    assert ppo_seeds.main(command) == 0
    shown = capsys.readouterr()
    assert "base policy" in shown.out
    found = read_json(tmp_path / "figures.json")
    assert set(found["seeds"]) == {"0", "1"}
    assert found["seeds"]["0"]["base"] == found["seeds"]["1"]["base"]
    rows = [read_rows(folder_in(finished) / "ppo_seeds" / f"judged-{seed}" / "distilled.jsonl") for seed in (0, 1)]
    assert rows[0] != rows[1]
    assert ppo_seeds.main(command) == 0
    again = capsys.readouterr()
    # Behind the table stands how busy the machine is now.
    assert again.out.partition("epochs of PPO")[0] == shown.out.partition("epochs of PPO")[0]
    assert again.err.count("done before") == 4


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("a row is bad"), 2, "nines: a row is bad"),
        (StorageError("the disk is full"), 1, "nines: the disk is full"),
        (ZeroDivisionError("one by zero"), 70, "ZeroDivisionError: one by zero"),
        (KeyboardInterrupt(), 130, "nines: interrupted"),
    ],
)
def test_a_stage_that_fails_says_how_to_go_on_and_ends_with_the_right_code(
    error: BaseException,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(runs: object, *, path: str) -> None:
        raise error

    monkeypatch.setattr("apps.pipeline.plan.divide", fail)
    monkeypatch.setattr("apps.pipeline.plan.plan_trainings", lambda context: small_runs())
    assert main(["demo", *TINY, f"runs={tmp_path}"]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "the stage division is unfinished; what is done is kept, and this goes on from there" in shown
    assert f"nines demo {TINY[0]}" in shown
