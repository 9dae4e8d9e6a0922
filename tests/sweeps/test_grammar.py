import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nines.errors import SweepError
from sweeps.grammar import parse_domain


@pytest.mark.parametrize(
    ("source", "distribution"),
    [
        ("choice(none, focal)", CategoricalDistribution(["none", "focal"])),
        ("none, focal", CategoricalDistribution(["none", "focal"])),
        ("choice(0.1, 2, true, a)", CategoricalDistribution([0.1, 2, True, "a"])),
        ("interval(0, 0.5)", FloatDistribution(0.0, 0.5)),
        ("tag(log, interval(1e-5, 1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("int(interval(1, 8))", IntDistribution(1, 8)),
        ("tag(int, interval(1, 8))", IntDistribution(1, 8)),
        ("tag(log, int(interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("range(1, 9, 2)", IntDistribution(1, 7, step=2)),
        ("range(3)", IntDistribution(0, 2)),
        ("range(9, 1, -4)", IntDistribution(5, 9, step=4)),
    ],
)
def test_hydras_forms_give_the_distribution_they_mean(source, distribution):
    assert parse_domain("key", source, where="space.key").distribution == distribution


def test_a_range_of_floats_keeps_its_step_and_leaves_the_end_out():
    domain = parse_domain("key", "range(0.1, 0.5, 0.1)", where="space.key")
    assert domain.grid(2) == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("choise(a, b)", r"space.key: cannot read .*choise.*Valid forms: choice\(a, b, c\)"),
        ("interval(1, )", "Valid forms: interval"),
        ("0.1", "one fixed value.*Put it under `train:` as 'key=0.1'"),
        (0.1, "one fixed value"),
        ("interval(2, 1)", "the interval is empty: 2.0 is not below 1.0"),
        ("tag(log, interval(0, 1))", "a log scale needs a positive start, not 0.0"),
        ("tag(logarithm, interval(1, 2))", "unknown tag .*logarithm.*valid tags: int, log"),
        ("range(3, 1)", "the range is empty"),
        ("choice(a, a)", "the choice a is listed twice"),
        ("choice(1, true)", "equal numbers"),
        ("glob(*)", "cannot be sampled from"),
    ],
)
def test_a_bad_form_is_one_line_that_names_its_key_and_the_valid_forms(source, said):
    with pytest.raises(SweepError, match=said) as caught:
        parse_domain("key", source, where="space.key")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("space.key:")


def test_a_constant_is_welcome_under_a_condition():
    assert parse_domain("key", 64, where="here", constant=True).fixed == "64"
    assert parse_domain("key", "'a b'", where="here", constant=True).fixed == "'a b'"


@pytest.mark.parametrize(
    "source", ["choice([1,2],[3])", "choice({a:1},'x y',b)", "choice('null','1',true,'a=b, c','it\\'s')"]
)
def test_every_choice_is_written_so_that_hydra_reads_the_same_back(source):
    expected = OverridesParser.create().parse_override(f"key={source}").value().list
    domain = parse_domain("key", source, where="space.key")
    for value, element in zip(domain.distribution.choices, expected, strict=True):
        again = OverridesParser.create().parse_override(f"key={domain.text(value)}").value()
        if isinstance(element, QuotedString):
            assert isinstance(again, str)
            assert again == element.text
        else:
            assert again == element


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_survives_the_way_through_an_override(number):
    domain = parse_domain("key", "interval(0, 1)", where="space.key")
    assert OverridesParser.create().parse_override(f"key={domain.text(number)}").value() == number


def test_the_grid_of_an_interval_is_even_on_its_own_scale():
    assert parse_domain("k", "interval(0, 1)", where="k").grid(3) == [0.0, 0.5, 1.0]
    assert parse_domain("k", "tag(log, interval(0.001, 0.1))", where="k").grid(3) == pytest.approx([0.001, 0.01, 0.1])
    assert parse_domain("k", "int(interval(1, 100))", where="k").grid(3) == [1, 50, 100]
    assert parse_domain("k", "int(interval(1, 3))", where="k").grid(5) == [1, 2, 3]
