import numpy as np
import pytest

from nines.errors import ConfigError
from nines.statistics.labelled import LabelledRows


def rows_of(labels, sources, weights):
    return LabelledRows(
        labels=np.array(labels, dtype=np.int8),
        prompts=np.arange(len(labels)),
        sources=np.array(sources),
        natural_weights=np.array(weights, dtype=np.float64),
    )


def test_natural_and_all_come_before_the_sources():
    rows = rows_of([0, 1, 0], ["written", "generated", "plain"], [0, 2, 0])
    assert rows.populations() == ("natural", "all", "generated", "plain", "written")


def test_rows_without_selection_have_no_natural_population():
    assert rows_of([0, 1], ["mine", "mine"], [0, 0]).populations() == ("all", "mine")


def test_each_population_weighs_its_own_rows_only():
    rows = rows_of([0, 1, 0], ["written", "generated", "plain"], [0, 2.5, 0])
    assert rows.weights_of("natural").tolist() == [0, 2.5, 0]
    assert rows.weights_of("all").tolist() == [1, 1, 1]
    assert rows.weights_of("plain").tolist() == [0, 0, 1]


def test_an_unknown_population_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'written'"):
        rows_of([0], ["written"], [0]).weights_of("writen")


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        rows_of([0, 1], ["a"], [0, 0])


def test_a_label_outside_the_three_is_refused():
    with pytest.raises(ValueError, match="labels must be"):
        rows_of([0, 2], ["a", "a"], [0, 0])


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_a_weight_that_is_negative_or_not_finite_is_refused(weight):
    with pytest.raises(ValueError, match="natural weights"):
        rows_of([0], ["a"], [weight])
