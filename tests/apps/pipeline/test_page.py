import re
from typing import Any

import numpy as np
import pytest

from apps.pipeline.generating import Cost
from apps.pipeline.outcome import Judged
from apps.pipeline.page import implied, page
from apps.pipeline.table import HEADS, comparison_rows, comparison_table, percent

THRESHOLD = 0.5


def figures(failures: int, own: int, *, delivered: int = 20) -> dict[str, Any]:
    def scores(count: int) -> Any:
        return np.array([0.9] * count + [0.1] * (delivered - count))

    return Judged(
        prompts=20,
        tries=np.full(20, 2),
        judge=scores(failures),
        own=scores(own),
        judge_quality=np.linspace(0.3, 0.6, delivered),
        own_quality=np.linspace(0.4, 0.7, delivered),
        cost=Cost(seconds=20.0, prompt_tokens=400, drawn_tokens=600),
    ).figures(judge_threshold=THRESHOLD, own_threshold=THRESHOLD, confidence=0.95)


def share(value: float) -> dict[str, float]:
    return {"estimate": value, "lower": value / 2, "upper": min(1.0, value * 2)}


def found(*, misses: float = 0.2, alarms: float = 0.05) -> dict[str, Any]:
    rows = {"fnr": share(misses), "fpr": share(alarms), "auroc": 0.9, "prevalence": 0.5}
    model = {"accuracy": 0.6, "accuracy_lower": 0.5, "accuracy_upper": 0.7, "log_loss": 0.66}
    classifier = {"threshold": {"threshold": THRESHOLD}, "valid": {"all": rows}, "test": {"all": rows, "plain": rows}}
    return {
        "size": "tiny",
        "seed": 3,
        "confidence": 0.95,
        "policies": {"base": figures(8, 8), "filtered": figures(3, 0, delivered=18), "distilled": figures(2, 1)},
        "against_base": {
            "filtered": {"failure_rate_judge": 0.42, "failure_rate_own": 0.0},
            "distilled": {"failure_rate_judge": None, "failure_rate_own": None},
        },
        "judges": {
            "classifiers": {"judge": classifier, "own": classifier},
            "reward_models": {"judge": {"valid": model, "test": model}, "own": {"valid": {}, "test": model}},
        },
        "division": {
            "learners": {"generator": {"prompts": 100, "runs": {"generator": {"rows": 200, "prompts": 100}}}},
            "held_out": {"valid": 117, "test": 156},
        },
        "stages": [{"name": "ppo", "purpose": "distil", "expected_seconds": 60, "seconds": 90.0}],
        "seconds": 90.0,
        "assumed": ["Judges & labels are <models>."],
        "not_measured": ["People."],
    }


def verdicts(count: int = 20) -> list[dict[str, Any]]:
    def one(number: int) -> dict[str, Any]:
        return {"completion": f"It <fell> {number}.", "judge": number / 20, "own": 0.2, "judge_quality": 0.5}

    lines = [
        {"prompt": f"Prompt {number} & more", "policies": {"base": one(number), "distilled": one(number)}}
        for number in range(count)
    ]
    lines[-1]["policies"]["filtered"] = one(0)
    return lines


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of these figures; drawing takes a second."""
    nothing_logged = tmp_path_factory.mktemp("ppo")
    return page(found(), verdicts=verdicts(), ppo=nothing_logged, samples=2, made="Made today.")


def text_of(html: str) -> str:
    without = re.sub(r"<(svg|style|script).*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without))


def test_the_page_shows_every_figure_and_is_whole_without_a_network(shown: str) -> None:
    text = text_of(shown)
    for row in comparison_rows(found()["policies"]):
        assert " ".join(row[:3]) in re.sub(r" +", " ", text)
    assert "By the judge the filtered policy fails 0.42 times as often as the base policy." in text
    assert "By the judge the distilled" not in text  # the base never failed: there is no ratio
    assert "Judges &amp; labels are &lt;models&gt;." in shown
    assert shown.count("<svg") == 3
    assert not re.search(r'(src|href)="(?!#)', re.sub(r"xlink:href", "", shown))
    assert "generator (200 rows)" in text
    assert "ppo distil 60 s 90 s" in text
    assert "Made today." in text


def test_samples_are_the_worst_first_and_what_was_not_delivered_says_so(shown: str) -> None:
    worst = shown[shown.index("Worst first") : shown.index("At random")]
    assert re.findall(r"Prompt (\d+) &amp; more", worst) == ["19", "18"]
    assert worst.count("gave up") == 1
    assert "It &lt;fell&gt; 19." in worst
    assert 'class="failed"' in worst


def test_what_the_judges_errors_imply_is_said_in_a_sentence() -> None:
    said = implied(found(misses=0.2, alarms=0.05))
    assert "a policy that never fails would be charged with about 5.0 %, and one that always fails with 80.0 %" in said
    assert "no better than chance" in implied(found(misses=0.96, alarms=0.05))
    none = found()
    none["judges"]["classifiers"]["judge"]["test"] = {}
    assert implied(none) == ""


def test_the_table_has_a_row_for_each_policy() -> None:
    rows = comparison_rows(found()["policies"])
    assert [row[0] for row in rows] == ["base", "filtered", "distilled"]
    assert all(len(row) == len(HEADS) for row in rows)
    assert rows[1][HEADS.index("gave up")] == "2 of 20"
    assert rows[0][HEADS.index("tokens")] == "30"
    assert comparison_table(found()["policies"]).row_count == 3


def test_shares_are_shown_with_their_intervals() -> None:
    assert percent({"estimate": 0.123, "lower": 0.045, "upper": 0.2}) == "12.3 % [4.5, 20.0]"
