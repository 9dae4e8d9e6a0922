import pytest

from apps.pipeline.figures import curves_figure, outcome_figure

CURVE = [(0, 0.5), (10, 0.25)]


def test_the_curves_show_score_divergence_and_both_failure_rates_with_their_bands() -> None:
    curves = {
        "train/score": CURVE,
        "valid/score": CURVE,
        "train/kl": CURVE,
        "valid/failure_rate/judge": CURVE,
        "valid/failure_rate/judge_lower": CURVE,
        "valid/failure_rate/judge_upper": CURVE,
        "valid/failure_rate/judge_base": CURVE,
        "valid/failure_rate/log_safe": CURVE,
    }
    score, divergence, failures = curves_figure(curves).axes
    assert [len(axes.lines) for axes in (score, divergence, failures)] == [2, 1, 3]
    assert list(failures.lines[0].get_ydata()) == [50, 25]
    assert len(failures.collections) == 1
    assert all(axes.get_xlabel() == "iteration" for axes in (score, divergence, failures))


def test_a_run_that_logged_nothing_leaves_empty_axes() -> None:
    assert all(not axes.lines for axes in curves_figure({}).axes)


@pytest.mark.parametrize("estimate", [0.0, 1.0])
def test_an_estimate_at_the_end_of_its_interval_is_drawn(estimate: float) -> None:
    # Rounding may put the end of an interval without width on the wrong side of its estimate.
    end = {"estimate": estimate, "lower": estimate + 1e-17, "upper": estimate - 1e-17}
    policy = {"failure_rate": {"judge": end, "own": end}, "quality": {"judge": end, "own": end}}
    failures, quality = outcome_figure({"base": policy, "distilled": policy}).axes
    assert failures.get_ylim()[0] == 0
    assert [label.get_text() for label in quality.get_xticklabels()] == ["base", "distilled"]
