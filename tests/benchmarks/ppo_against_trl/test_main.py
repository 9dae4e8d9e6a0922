import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ppo_against_trl import __main__ as benchmark
from benchmarks.ppo_against_trl.phases import PHASES, UPDATES, WHOLE
from benchmarks.ppo_against_trl.setting import Setting


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Setting]]:
    """Both sides without any model: ours takes a second a phase, the peer two and for updates three."""
    calls: list[tuple[str, Setting]] = []

    def run_side(side: str, setting: Setting) -> dict[str, Any]:
        calls.append((side, setting))
        seconds = dict.fromkeys(PHASES, (1.0, 1.0) if side == "ours" else (2.0, 4.0))
        seconds[UPDATES] = (1.0, 1.0) if side == "ours" else (3.0, 3.0)
        values = [float(index) for index in range(setting.iterations)]
        return {"seconds": [seconds] * setting.iterations, "score": values, "kl": values, "versions": {"torch": "2"}}

    monkeypatch.setattr(benchmark, "run_side", run_side)
    monkeypatch.setattr(benchmark, "make", lambda: None)
    return calls


def test_ratios_are_of_each_phase_and_both_sides_get_one_setting_a_round(
    sides: list[tuple[str, Setting]], tmp_path: Path
) -> None:
    words = ["--quick", "--rounds", "2", "--seed", "5", "--json", str(tmp_path / "figures.json")]
    assert benchmark.main(words) == 0
    assert [side for side, _ in sides] == ["ours", "peer", "peer", "ours"]
    settings = [setting for _, setting in sides]
    assert settings[0] == settings[1]
    assert settings[2] == settings[3]
    assert [setting.seed for setting in settings] == [5, 5, 6, 6]
    ratios = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["ratios"]
    assert ratios[WHOLE]["wall"]["all"] == [2.0, 2.0]
    assert ratios[WHOLE]["processor"]["median"] == 4.0
    assert ratios[UPDATES]["wall"]["median"] == 3.0


def test_what_cannot_be_made_equal_is_printed(
    sides: list[tuple[str, Setting]], capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.main(["--quick", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert [line for line in benchmark.UNEQUAL if line not in printed] == []


def test_curves_are_of_every_seed_and_drawn(sides: list[tuple[str, Setting]], tmp_path: Path) -> None:
    words = ["--curves", str(tmp_path / "ppo.png"), "--seeds", "2", "--iterations", "3"]
    assert benchmark.main([*words, "--json", str(tmp_path / "curves.json")]) == 0
    assert [(side, setting.seed) for side, setting in sides] == [("ours", 0), ("peer", 0), ("ours", 1), ("peer", 1)]
    curves = json.loads((tmp_path / "curves.json").read_text(encoding="utf-8"))["curves"]
    assert [one["seed"] for one in curves["nines"]] == [0, 1]
    assert curves["TRL 1.12"][0]["score"] == [0.0, 1.0, 2.0]
    assert (tmp_path / "ppo.png").is_file()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--minibatch", "7"], "--minibatch must divide"),
        (["--minibatch", "2", "--siblings-together"], "a multiple of --completions"),
        (["--source", "tiny:lama"], "no tiny model"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    sides: list[tuple[str, Setting]], words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(["--quick", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert sides == []
