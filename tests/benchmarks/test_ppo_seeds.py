from pathlib import Path
from typing import Any

import pytest

from benchmarks.ppo_seeds import finished_demo, main, seeds_table, summary
from nines.errors import UserError
from nines.files import write_text


def policy(failures: float, quality: float) -> dict[str, Any]:
    def around(value: float) -> dict[str, float]:
        return {"estimate": value, "lower": value - 0.1, "upper": value + 0.1}

    return {
        "failure_rate": {"judge": around(failures), "own": around(failures / 2)},
        "quality": {"judge": around(quality), "own": around(quality)},
    }


FIGURES = {
    seed: {"base": policy(0.4, 0.5), "distilled": policy(failures, 0.45)}
    for seed, failures in enumerate((0.1, 0.2, 0.3))
}


def test_the_mean_over_seeds_has_students_interval() -> None:
    over = summary(FIGURES, confidence=0.95)["failure_rate/judge"]
    assert over["estimate"] == pytest.approx(0.2)
    # t with 2 degrees of freedom is 4.3027, the standard error 0.1 / sqrt(3)
    assert over["upper"] - over["estimate"] == pytest.approx(4.30265 * 0.1 / 3**0.5, rel=1e-5)


def test_the_table_has_the_base_policy_every_seed_and_the_mean() -> None:
    table = seeds_table(FIGURES, {0: 100.0, 1: 110.0, 2: 90.0}, confidence=0.95)
    assert list(table.columns[0].cells) == ["base policy", "0", "1", "2", "mean"]
    assert list(table.columns[-1].cells)[-1] == "5 min 0 s"
    alone = seeds_table({0: FIGURES[0]}, {0: 100.0}, confidence=0.95)
    assert list(alone.columns[0].cells) == ["base policy", "0"]


def test_a_demo_that_is_not_there_or_not_finished_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no demo" in capsys.readouterr().err
    write_text(tmp_path / "overrides.yaml", "- demo.size=tiny\n")
    with pytest.raises(UserError, match=r"not finished \(division, generator, .*nines demo demo\.size=tiny"):
        finished_demo(tmp_path)
