import numpy as np
import pytest

from callbacks.reliability_figures import draw_all, draw_calibration, draw_misses, draw_precision_recall, draw_scores
from callbacks.rendering import as_image
from nines.statistics.evaluation import evaluate
from nines.statistics.labelled import LabelledRows
from tests.fakes import TinyLabelledData


@pytest.fixture
def problem():
    data = TinyLabelledData()
    scores = 1 / (1 + np.exp(-data.features["test"].double().numpy()))
    return scores, data.rows("test")


def points(figure, marker):
    """Coordinates of all single markers of one kind in the first axes."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == marker]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]


def test_each_figure_has_units_a_title_and_a_caption(problem):
    scores, rows = problem
    result = evaluate(scores, rows, threshold=0.5)
    figures = draw_all(scores, rows, evaluation=result, split="test", false_positive_rate=0.05)
    assert set(figures) == {"misses", "precision_recall", "roc", "scores", "calibration"}
    for figure in figures.values():
        assert "Look for:" in " ".join(figure.get_supxlabel().split())
        assert figure.get_suptitle().startswith("test: ")
        assert figure.axes[-1].get_xlabel()
        assert as_image(figure).std() > 10


def test_misses_are_drawn_at_their_rate_on_a_log_axis(problem):
    scores, rows = problem
    result = evaluate(scores, rows, threshold=0.5)
    figure = draw_misses(result, split="test")
    assert figure.axes[0].get_xscale() == "log"
    drawn = {x for x, _ in points(figure, "o")}
    assert drawn == {entry.fnr.estimate for entry in result.populations if entry.fnr.events > 0}
    assert drawn


def test_no_miss_is_drawn_at_the_upper_bound_with_another_marker(problem):
    scores, rows = problem
    result = evaluate(scores, rows, threshold=0.0)
    figure = draw_misses(result, split="test")
    assert points(figure, "o") == []
    triangles = {x for x, _ in points(figure, "<")}
    assert triangles == {entry.fnr.upper for entry in result.populations}
    left, right = figure.axes[0].get_xlim()
    assert all(left < x < right for x in triangles)


def test_the_working_point_lies_at_its_recall_and_precision(problem):
    scores, rows = problem
    result = evaluate(scores, rows, threshold=0.5)
    recall, precision = points(draw_precision_recall(scores, rows, evaluation=result, split="test"), "o")[1]
    certain = rows.labels != -1
    flagged = scores[certain] >= 0.5
    assert recall == pytest.approx(1 - result.of("all").fnr.estimate)
    assert precision == pytest.approx((rows.labels[certain] == 1)[flagged].mean())


def test_every_source_has_its_histogram_and_every_row_is_counted(problem):
    scores, rows = problem
    figure = draw_scores(scores, rows, threshold=0.5, split="test")
    labels = [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]
    assert len(figure.axes) == 2
    assert sum(int(label.split("(")[1].rstrip(")")) for label in labels) == len(rows)


def test_scores_of_zero_and_one_are_drawn_at_the_ends(problem):
    _, rows = problem
    figure = draw_scores(np.where(rows.labels == 1, 1.0, 0.0), rows, threshold=0.5, split="test")
    assert as_image(figure).std() > 10


def test_calibration_bins_hold_every_certain_row(problem):
    scores, rows = problem
    figure = draw_calibration(scores, rows, split="test")
    counts = [int(text.get_text()) for text in figure.axes[-1].texts]
    assert sum(counts) == (rows.labels != -1).sum()


def test_a_split_without_injurious_rows_draws_without_error(problem):
    scores, rows = problem
    safe = rows.labels == 0
    only = LabelledRows(rows.labels[safe], rows.prompts[safe], rows.sources[safe], rows.natural_weights[safe])
    result = evaluate(scores[safe], only, threshold=0.5)
    figures = draw_all(scores[safe], only, evaluation=result, split="test", false_positive_rate=0.05)
    for figure in figures.values():
        as_image(figure)
