import pytest

from benchmarks.estimators import CASES, Items, main, seconds

ITEMS = Items.draw(20_000, seed=0)


def test_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_twenty_thousand_items_take_a_fiftieth_of_the_limit_and_some_set_up(case):
    assert seconds(case, ITEMS, repeats=1) < 0.5


def test_the_command_prints_what_was_asked_for(capsys):
    assert main(["--items", "2000", "--only", "conformal", "--repeats", "1"]) == 0
    assert capsys.readouterr().out.count("| conformal risk control |") == 1
