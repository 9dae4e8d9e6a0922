"""What the figures are drawn from, and that their SVG fits into a page."""

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from sweeps.definition import Objective
from sweeps.report.drawing import as_svg
from sweeps.report.figures import learning_curves, objective_over_time, objective_over_trials, pareto_front
from sweeps.report.parameter_figures import learning_rate_by_clipping, slices
from sweeps.report.results import parameter_sets

UP, DOWN = Objective("a", "maximize"), Objective("b", "minimize")


def test_the_front_holds_the_points_that_none_beats() -> None:
    points = [(0.9, 0.5), (0.8, 0.3), (0.7, 0.4), (0.9, 0.6), (0.95, 0.9)]
    assert pareto_front(points, [UP, DOWN]) == [0, 1, 4]


def test_equal_points_are_both_on_the_front() -> None:
    assert pareto_front([(1.0, 1.0), (1.0, 1.0)], [UP, DOWN]) == [0, 1]


def test_the_front_is_that_of_brute_force() -> None:
    points = np.random.default_rng(0).random((40, 2))
    expected = [i for i, (a, b) in enumerate(points) if not np.any((points[:, 0] > a) & (points[:, 1] < b))]
    assert pareto_front(points.tolist(), [UP, DOWN]) == expected


def test_the_best_so_far_never_falls_and_ends_at_the_best(planted: Any) -> None:
    figure = objective_over_trials(planted.records, planted.definition)
    (line,) = figure.axes[0].lines
    best = np.asarray(line.get_ydata())
    assert np.all(np.diff(best) >= 0)
    assert best[-1] == max(record.value for record in planted.records if record.state == "completed")


def test_every_trial_that_reported_has_a_curve_through_its_values(planted: Any) -> None:
    figure = learning_curves(planted.records, planted.definition)
    curves = {tuple(np.asarray(line.get_ydata())) for line in figure.axes[0].lines}
    for trial in planted.sweep.study().trials:
        if trial.intermediate_values:
            assert tuple(trial.intermediate_values.values()) in curves


def test_the_heat_map_shows_the_best_set_of_each_cell(planted: Any) -> None:
    sets = parameter_sets(planted.records)
    figure = learning_rate_by_clipping(sets, planted.definition)
    cells = np.asarray(figure.axes[0].images[0].get_array().filled(np.nan))
    strategies = sorted({str(each.params["clipping"]) for each in sets})
    for row, strategy in enumerate(strategies):
        best = max(each.mean for each in sets if each.params["clipping"] == strategy)
        assert np.nanmax(cells[row]) == pytest.approx(best)


def test_nothing_to_draw_gives_no_figure(make_sweep: Any) -> None:
    toy = make_sweep()
    for figure in (objective_over_trials, objective_over_time, learning_curves):
        assert figure(toy.records, toy.definition) is None
    assert slices([], [], toy.definition) is None
    assert learning_rate_by_clipping([], toy.definition) is None


def test_the_svg_is_well_formed_takes_the_ink_of_the_page_and_keeps_its_names_to_itself(planted: Any) -> None:
    svg = as_svg(objective_over_trials(planted.records, planted.definition), name="trials", description='a "b" <c>')
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == 'a "b" <c>'
    identifiers = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
    assert identifiers
    assert all(name.startswith("trials-") for name in identifiers)
    assert "currentColor" in svg
    assert "#010203" not in svg
