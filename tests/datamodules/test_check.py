import numpy as np
import pytest

from datamodules.check import check, duplicates, length_summary, natural_weights
from datamodules.reading import read
from datamodules.schema import LabelledCompletion


def row(completion: str, label: str = "no", **fields: object) -> LabelledCompletion:
    values: dict[str, object] = {
        "prompt": "He ran.", "id": completion, "prompt_id": "p", "source": "plain", **fields,
    }  # fmt: skip
    return LabelledCompletion(completion=completion, label=label, **values)  # type: ignore[arg-type]


def test_the_embedded_data_is_clean_and_its_weights_are_as_concentrated_as_described() -> None:
    report = check(read("embedded:injury"))
    assert (report.duplicates, report.leaks, report.repeated_ids) == ([], [], [])
    assert report.prompts == {"train": 507, "valid": 117, "test": 156, "adversarial": 100, "minimal_pairs": 25}
    (valid,) = [one for one in report.natural if one.split == "valid"]
    assert valid.positives == 36
    assert valid.largest_share == pytest.approx(1 / 3, abs=0.02)  # "one row carries a third of the weight"
    (test,) = [one for one in report.natural if one.split == "test"]
    assert test.unsure_weight == pytest.approx(2.3 / 1.3, abs=0.1)


def test_counts_by_split_and_source_add_up() -> None:
    report = check({"train": [row("a", "yes"), row("b", "unsure"), row("c", source="written")]})
    shown = [(one.source, one.yes, one.no, one.unsure, one.total) for one in report.balances]
    assert shown == [("plain", 1, 0, 1, 2), ("written", 0, 1, 0, 1), ("all", 1, 1, 1, 3)]
    assert report.balances[2].injurious_share == 0.5
    assert report.balances[2].unsure_share == pytest.approx(1 / 3)


def test_duplicates_are_told_apart_by_how_equal_they_are_and_whether_they_contradict() -> None:
    found = duplicates({
        "train": [row("He fell.", "yes", id="1"), row("he  FELL.", "no", id="2"), row("Up.", id="3"), row("Alone.")],
        "test": [row("Up.", id="4")],
    })  # fmt: skip
    assert [(one.exact, one.labels, one.places) for one in found] == [
        (False, ("no", "yes"), (("train", "1"), ("train", "2"))),
        (True, ("no",), (("train", "3"), ("test", "4"))),
    ]


def test_ids_that_come_twice_are_listed() -> None:
    assert check({"train": [row("a", id="x"), row("b", id="x"), row("c")]}).repeated_ids == ["x"]


def test_kish_effective_number_of_hand_worked_weights() -> None:
    def generated(label: str, probability: float, drawn: int) -> LabelledCompletion:
        return row("c", label, source="generated", selection_probability=probability, drawn=drawn)

    rows = [generated("yes", 1, 1), generated("yes", 0.5, 1), generated("yes", 1 / 3, 1), generated("no", 0.5, 1),
            generated("unsure", 1 / 3, 1), row("c", "yes")]  # fmt: skip
    found = natural_weights("test", rows)
    assert found is not None
    # Weights 1, 2, 3: (1 + 2 + 3)^2 / (1 + 4 + 9) = 36 / 14; one row has 3 of 6; 6 of 8 certain; 3 unsure to 6.
    assert found.positives == 3
    assert found.effective_positives == pytest.approx(36 / 14)
    assert found.largest_share == pytest.approx(0.5)
    assert found.prevalence == pytest.approx(0.75)
    assert found.unsure_weight == pytest.approx(0.5)


def test_rows_that_are_no_natural_sample_have_no_natural_weights() -> None:
    assert natural_weights("test", [row("c", "yes")]) is None


def test_lengths_are_summed_up_and_those_at_the_limit_counted() -> None:
    summary = length_summary("train", "pair, tokens", np.array([1, 2, 3, 4, 8, 8]), limit=8)
    assert (summary.median, summary.longest, summary.at_limit) == (3.5, 8, 2)
    words = check({"train": [row("one two three"), row("one")]}).lengths[1]
    assert (words.what, words.median, words.longest) == ("completion, words", 2.0, 3)
