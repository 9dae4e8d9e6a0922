from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from omegaconf import OmegaConf
from pydantic import Field

from apps.annotations import describe
from apps.signatures import call_problems, import_target, value_problem
from apps.validation import validate
from nines.errors import ConfigError

if TYPE_CHECKING:
    from decimal import Decimal


class Tool:
    """What a config of these tests names."""

    def __init__(
        self,
        *,
        size: int,
        rate: float = 0.1,
        mode: Literal["max", "min"] = "max",
        folder: Path | None = None,
        pair: tuple[float, float] = (0.0, 1.0),
        names: Sequence[str] = (),
        parts: Mapping[str, Any] | None = None,
        other: Tool | None = None,
        only_for_checkers: Decimal | None = None,
    ) -> None:
        raise AssertionError("validation must not build anything")


def open_ended(first: int, **rest: Any) -> None:
    raise AssertionError("validation must not call anything")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest imports test files by path; configs name their classes by module.
    import sys
    import types

    module = types.ModuleType("tools_under_test")
    module.Tool, module.open_ended, module.number = Tool, open_ended, 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tools_under_test", module)


def problems(**arguments: Any) -> list[str]:
    try:
        validate(OmegaConf.create({"tool": {"_target_": "tools_under_test.Tool", **arguments}}), root="other")
    except ConfigError as error:
        return [line.strip() for line in str(error).splitlines()]
    return []


def test_right_values_pass_with_the_freedoms_that_yaml_needs() -> None:
    assert problems(size=3, rate=1, pair=[0, 1], names=["a"], folder="runs", mode="min", parts={"a": 1}) == []
    assert problems(size=3, rate=float("inf"), folder=None, only_for_checkers="anything") == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"size": "three"}, "tool.size = 'three': expected a whole number"),
        ({"size": 3.5}, "tool.size = 3.5: expected a whole number"),
        ({"size": True}, "tool.size = True: expected a whole number"),
        ({"size": 3, "rate": "fast"}, "tool.rate = 'fast': expected a number"),
        ({"size": 3, "rate": None}, "tool.rate = None: expected a number"),
        ({"size": 3, "mode": "maxi"}, "tool.mode = 'maxi': expected one of max, min; did you mean 'max'?"),
        ({"size": 3, "names": "abc"}, "tool.names = 'abc': expected a list of text values"),
        ({"size": 3, "names": [1]}, "tool.names = [1]: expected a list of text values"),
        ({"size": 3, "pair": [1, 2, 3]}, "tool.pair = [1, 2, 3]: expected a list of number values"),
        ({"size": 3, "folder": 7}, "tool.folder = 7: expected a path or null"),
        ({}, "tool.size: tools_under_test.Tool needs a value for it"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_was_expected(arguments: dict[str, Any], expected: str) -> None:
    assert problems(**arguments) == [expected]


def test_an_unknown_argument_names_the_nearest() -> None:
    (message,) = problems(size=3, ratee=1)
    assert message.startswith("tool.ratee: tools_under_test.Tool takes no 'ratee'; did you mean 'rate'?")


def test_all_problems_come_at_once() -> None:
    found = problems(size="x", rate="y", colour="red")
    assert found[0] == "3 problems in the configuration:"
    assert {line.partition(" ")[0].rstrip(":") for line in found[1:]} == {"tool.size", "tool.rate", "tool.colour"}


def test_nested_specs_are_checked_wherever_they_stand() -> None:
    inner = {"_target_": "tools_under_test.Tool", "size": "x"}
    assert problems(size=3, other=inner) == ["tool.other.size = 'x': expected a whole number"]
    assert problems(size=3, parts={"deep": [inner]}) == ["tool.parts.deep[0].size = 'x': expected a whole number"]


def test_a_target_that_is_not_there_is_a_problem_at_its_key() -> None:
    for target, reason in (
        ("no_such_module.Thing", "there is no module 'no_such_module'"),
        ("tools_under_test.Tol", "did you mean 'Tool'"),
        ("tools_under_test.number", "has no class 'number'"),
        ("Tool", "there is no module ''"),
    ):
        with pytest.raises(ConfigError, match=reason):
            import_target(target)
    with pytest.raises(ConfigError, match=r"^tool\._target_ = 'tools_under_test.Tol'"):
        validate(OmegaConf.create({"tool": {"_target_": "tools_under_test.Tol"}}), root="other")


def test_a_partial_target_may_lack_arguments_but_not_invent_them() -> None:
    assert problems(_partial_=True) == []
    assert len(problems(_partial_=True, colour="red")) == 1


def test_values_still_to_be_filled_in_are_left_out() -> None:
    assert problems(size="???") == []


def test_references_are_judged_by_their_value() -> None:
    content = {"tool": {"_target_": "tools_under_test.Tool", "size": "${count}"}, "count": "many"}
    with pytest.raises(ConfigError, match=r"tool\.size = 'many'"):
        validate(OmegaConf.create(content), root="other")


def test_keyword_arguments_of_any_name_are_accepted_where_the_constructor_does() -> None:
    assert call_problems(open_ended, {"first": 1, "anything": 2}, where="x", name="f") == []


def test_arguments_that_somebody_else_adds_are_not_required() -> None:
    assert call_problems(Tool, {}, where="x", name="Tool", present={"size"}) == []
    assert len(call_problems(Tool, {}, where="x", name="Tool")) == 1


def test_mappings_that_a_constructor_hands_on_are_held_against_what_reads_them() -> None:
    module = {
        "_target_": "lightning_modules.classifier.CompletionClassifier",
        "model": {"sorce": "tiny:bert"},
        "dropout": {"hidden": 2},
        "optimizer": {"lr": "fast"},
    }
    with pytest.raises(ConfigError) as caught:
        validate(OmegaConf.create({"module": module}), root="other")
    text = str(caught.value)
    assert "module.model.sorce" in text
    assert "did you mean 'source'" in text
    assert "dropout.hidden=2" in text
    assert "module.optimizer.lr = 'fast': expected a number" in text


def test_ranges_are_told() -> None:
    assert value_problem(0, Annotated[int, Field(ge=1)]) == "greater than or equal to 1"
    assert value_problem(1, Annotated[int, Field(ge=1)]) is None


def test_types_that_only_objects_have_are_not_judged() -> None:
    assert value_problem(3, Tool) is None
    assert value_problem(3, Tool | str) == "Tool or text"


def test_annotations_read_as_words() -> None:
    assert describe(float | None) == "a number or null"
    assert describe(list[int]) == "a list of whole number values"
    assert describe(dict[str, int]) == "a mapping"
    assert describe(Literal["a", None]) == "one of a, null"


def test_the_root_keys_of_train_are_typed() -> None:
    root = {
        "name": "",
        "seed": -1,
        "runs": "runs",
        "resume": None,
        "objective": "valid/partial_auc",
        "objective_mode": "maximum",
        "threads": 0,
        "test": "yes",
        "module": {},
        "datamodule": {},
        "trainer": {},
        "callbacks": {},
        "colour": "red",
    }
    with pytest.raises(ConfigError) as caught:
        validate(OmegaConf.create(root), root="train")
    named = {line.split()[0].rstrip(":") for line in str(caught.value).splitlines()[1:]}
    assert named == {"name", "seed", "objective_mode", "threads", "test", "colour"}


def test_an_objective_that_the_module_never_logs_is_refused_with_those_that_it_does() -> None:
    from apps.config import compose

    with pytest.raises(ConfigError, match=r"objective = 'valid/partial_acu'.*did you mean 'valid/partial_auc'"):
        validate(compose("train", ["model=tiny", "objective=valid/partial_acu"]))
    validate(compose("train", ["model=tiny", "objective=valid/log_loss", "objective_mode=min"]))


def test_a_classifier_names_what_its_validation_logs() -> None:
    import numpy as np

    from lightning_modules.classifier import CompletionClassifier
    from lightning_modules.validation_metrics import classification_metrics

    logged = classification_metrics(np.array([0.1, 0.9]), np.array([0, 1], dtype=np.int8))
    assert CompletionClassifier.objectives == tuple(f"valid/{name}" for name in logged)
