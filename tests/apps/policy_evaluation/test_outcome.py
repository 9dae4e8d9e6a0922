import json
import math

import numpy as np
import pytest

from apps.policy_evaluation import sentences
from apps.policy_evaluation.completions import Cost
from apps.policy_evaluation.drawing import failures_figure, quality_figure, tries_figure
from apps.policy_evaluation.figures import failure_rates, qualities
from apps.policy_evaluation.judging import QualityJudge
from apps.policy_evaluation.outcome import Outcome
from apps.policy_evaluation.page import report_page
from apps.policy_evaluation.understanding import Understanding
from tests.apps.policy_evaluation.made import failure_judge, run, strata

NAN = math.nan


@pytest.fixture
def outcome():
    cost = Cost(prompts=4, delivered=2, seconds=3.0, drawn_tokens=100)
    runs = (run("filtered", "<b>a</b>", None, "c", None, cost=cost), run("base", "x", "y", "c", "z"))
    judges = [failure_judge(filtered=[0.6, NAN, 0.9, NAN], base=[0.1, 0.2, 0.9, 0.3])]
    everywhere = strata(*"ssss")
    wins = QualityJudge("judge", "folder", np.array([1.0, 0.0, 0.5, 0.0]))
    return Outcome(
        config={"seed": 0},
        runs=runs,
        judges=judges,
        rates=failure_rates(runs, judges, everywhere),
        qualities=qualities(*runs, [wins], everywhere),
        understood=[Understanding("filtered", 8, np.array([0.0, NAN, 0.5, NAN]), ["on", "", "further", ""])],
        shares={"s": 1.0},
        waiting={},
        assumed=["assumed"],
        unmeasured=["unmeasured"],
    )


def test_the_worst_comes_first_with_all_scores_and_how_it_goes_on(outcome):
    assert [(row["number"], row["scores"], row["continuation"]) for row in outcome.worst()] == [
        (2, {"judge": 0.9}, "further"),
        (0, {"judge": 0.6}, "on"),
    ]


def test_a_failure_that_the_generator_does_not_take_for_one_is_listed_apart(outcome):
    (one,) = outcome.understanding()
    assert one["failures"] == 2
    assert one["failures_not_understood"] == [0]
    assert one["mean_share_that_implies_an_injury"] == pytest.approx(0.25)


def test_costs_are_for_each_delivered_completion(outcome):
    filtered = next(outcome.costs())
    assert (filtered["seconds"], filtered["drawn_tokens"], filtered["gave_up"]) == (1.5, 50.0, 2)


def test_headlines_say_only_what_the_intervals_support(outcome):
    lines = list(outcome.headlines())
    assert lines[0].startswith("filtered, by judge: 2 of 2 delivered completions are failures")
    assert lines[-1].endswith("a difference is not shown.")


def test_json_and_scalars_hold_numbers_only(outcome):
    json.dumps(outcome.as_json(), allow_nan=False)
    scalars = outcome.scalars()
    assert scalars["quality/judge/all_prompts"] == pytest.approx(0.375)
    assert all(math.isfinite(value) for value in scalars.values())


def test_the_page_escapes_what_a_model_wrote(outcome):
    text = report_page(outcome)
    assert "<b>a</b>" not in text
    assert "&lt;b&gt;a&lt;/b&gt;" in text


def test_nothing_is_drawn_of_nothing(outcome):
    assert failures_figure([]) is None
    assert quality_figure([], policy="a", against="b") is None
    assert tries_figure([run("base", "x", "y")]) is None


def test_conservatism_and_a_filters_own_verdict_are_named_among_the_assumptions():
    runs = [run("filtered", "a", conservatism=0.9)]
    own = failure_judge("the filter's own classifier", independent=False, filtered=[0.1])
    said = list(sentences.assumptions(runs, coupled=False, target="prompts", failures=[own], people=False))
    assert any("conservatism" in sentence for sentence in said)
    assert any("no evidence of safety" in sentence for sentence in said)
