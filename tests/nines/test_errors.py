import pytest

from nines import errors
from nines.errors import DataError, NinesError, UserError, nearest


def test_every_mistake_of_the_user_exits_with_2_and_other_failures_with_1() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, NinesError)]
    assert len(classes) > 5
    for cls in classes:
        assert cls.exit_code == (2 if issubclass(cls, UserError) else 1)


def test_a_close_name_is_suggested_and_all_are_listed() -> None:
    assert nearest("focla", ["focal", "none"]) == "did you mean 'focal'? (valid: focal, none)"


@pytest.mark.parametrize(("name", "valid", "expected"), [("zzz", ["a", "b"], "valid: a, b"), ("x", [], "nothing")])
def test_without_a_close_name_the_valid_ones_are_listed(name: str, valid: list[str], expected: str) -> None:
    assert expected in nearest(name, valid)


def test_a_data_error_shows_every_problem() -> None:
    error = DataError("rows.jsonl: 2 problems", ["line 1: label", "line 9: prompt"])
    assert str(error).splitlines() == ["rows.jsonl: 2 problems", "  line 1: label", "  line 9: prompt"]
