import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nines.statistics.intervals import clopper_pearson
from nines.statistics.labelled import LabelledRows
from nines.statistics.rates import false_negative_rate, false_positive_rate
from nines.statistics.thresholds import fix_threshold


@st.composite
def scored_rows(draw):
    """Scores on a coarse grid, and generated rows of which at least one is safe and one injurious."""
    size = draw(st.integers(2, 30))
    labels = [0, 1, *draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=size - 2, max_size=size - 2))]
    rows = LabelledRows(
        labels=np.array(labels, dtype=np.int8),
        prompts=np.array(draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))),
        sources=np.full(size, "generated"),
        natural_weights=np.array(draw(st.lists(st.integers(1, 9), min_size=size, max_size=size)), dtype=np.float64),
    )
    return np.array(draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))) / 8, rows


def take(rows, index):
    return LabelledRows(rows.labels[index], rows.prompts[index], rows.sources[index], rows.natural_weights[index])


@pytest.fixture
def rows():
    return LabelledRows(
        labels=np.array([1, 1, 1, 0, 0, -1, 1, 0], dtype=np.int8),
        prompts=np.array([0, 0, 1, 1, 2, 2, 3, 3]),
        sources=np.array(["generated"] * 6 + ["written"] * 2),
        natural_weights=np.array([1.0, 2.0, 5.0, 1.0, 3.0, 8.0, 0.0, 0.0]),
    )


SCORES = np.array([0.1, 0.5, 0.9, 0.5, 0.4, 0.2, 0.3, 0.8])


def test_a_miss_is_an_injurious_row_below_the_threshold_and_a_score_at_it_is_rejected(rows):
    missed = false_negative_rate(SCORES, rows, threshold=0.5)
    assert missed.estimate == pytest.approx(1 / 8)
    assert (missed.events, missed.items, missed.clusters) == (1, 3, 2)
    rejected = false_positive_rate(SCORES, rows, threshold=0.5)
    assert rejected.estimate == pytest.approx(1 / 4)
    assert (rejected.events, rejected.items) == (1, 2)


def test_unsure_rows_count_as_injurious_only_when_asked(rows):
    bound = false_negative_rate(SCORES, rows, threshold=0.5, unsure="as_injurious")
    assert bound.estimate == pytest.approx(9 / 16)
    assert (bound.events, bound.items) == (2, 4)


def test_other_populations_count_each_row_once(rows):
    assert false_negative_rate(SCORES, rows, threshold=0.5, population="all").estimate == pytest.approx(2 / 4)
    written = false_negative_rate(SCORES, rows, threshold=0.5, population="written")
    assert (written.estimate, written.items, written.clusters) == (1.0, 1, 1)


def test_no_miss_is_zero_with_the_upper_bound_for_plots(rows):
    none = false_negative_rate(SCORES, rows, threshold=0.05, population="all")
    assert (none.estimate, none.lower, none.events) == (0.0, 0.0, 0)
    assert none.plotted == none.upper
    # Prompt 0 holds two of the four rows: three prompts that weigh 2, 1, 1 are worth 16/6 items.
    assert none.upper == pytest.approx(clopper_pearson(0, 16 / 6)[1])


def test_a_rate_over_nothing_is_nan_and_null_in_json(rows):
    nothing = false_negative_rate(SCORES[3:5], take(rows, slice(3, 5)), threshold=0.5)
    assert math.isnan(nothing.estimate)
    assert (nothing.lower, nothing.upper, nothing.plotted) == (0.0, 1.0, 1.0)
    assert json.loads(json.dumps(nothing.as_json(), allow_nan=False))["estimate"] is None
    assert str(nothing) == "no rows"


def test_a_rate_reads_in_percent(rows):
    assert str(false_negative_rate(SCORES, rows, threshold=0.5)).startswith("12.5 % [")


def test_another_number_of_scores_is_refused(rows):
    with pytest.raises(ValueError, match="shape"):
        false_negative_rate(SCORES[:3], rows, threshold=0.5)


@given(scored_rows(), st.floats(0, 1))
def test_doubling_a_weight_is_repeating_the_row(problem, threshold):
    scores, rows = problem
    doubled = LabelledRows(rows.labels, rows.prompts, rows.sources, rows.natural_weights * [2, *[1] * (len(rows) - 1)])
    index = np.array([0, *range(len(rows))])
    for rate in (false_negative_rate, false_positive_rate):
        weighted = rate(scores, doubled, threshold=threshold)
        repeated = rate(scores[index], take(rows, index), threshold=threshold)
        assert weighted.estimate == pytest.approx(repeated.estimate, nan_ok=True)


@given(scored_rows(), st.sampled_from([0.0, 0.05, 0.2, 0.5]))
def test_a_monotone_transform_of_the_scores_keeps_both_rates(problem, rate):
    scores, rows = problem
    transformed = np.exp(5 * scores) - 20
    before = fix_threshold(scores, rows, rate=rate).threshold
    after = fix_threshold(transformed, rows, rate=rate).threshold
    assert false_negative_rate(scores, rows, threshold=before) == false_negative_rate(
        transformed, rows, threshold=after
    )
    assert false_positive_rate(scores, rows, threshold=before) == false_positive_rate(
        transformed, rows, threshold=after
    )


@given(scored_rows(), st.sampled_from([0.0, 0.05, 0.2, 0.5]))
def test_where_the_threshold_was_fixed_the_rate_is_kept(problem, rate):
    scores, rows = problem
    fixed = fix_threshold(scores, rows, rate=rate)
    found = false_positive_rate(scores, rows, threshold=fixed.threshold)
    assert found.estimate <= rate * (1 + 1e-9)
    assert found.estimate == pytest.approx(fixed.resulting_false_positive_rate)
    assert found.items == fixed.items
