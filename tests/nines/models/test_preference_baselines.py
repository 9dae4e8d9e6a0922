import numpy as np
import pytest

from nines.errors import DataError
from nines.models.preference_baselines import LengthBaseline, TfidfPreferenceBaseline
from nines.statistics.comparisons import JudgedPairs
from tests.nines.statistics.test_comparisons import judged

Triples = list[tuple[str, str, str]]


def by_length(count: int, seed: int) -> tuple[Triples, JudgedPairs]:
    """The shorter one is preferred, whatever its words."""
    random = np.random.default_rng(seed)
    sizes = [random.choice(60, 2, replace=False) + 5 for _ in range(count)]
    return [("P", "x" * a, "x" * b) for a, b in sizes], judged([[1] if a < b else [-1] for a, b in sizes])


def by_words(count: int, seed: int) -> tuple[Triples, JudgedPairs]:
    """What says `bright` is preferred to what says `gloomy`, at equal lengths."""
    random = np.random.default_rng(seed)
    sides = random.choice([1, -1], count)
    texts = ("the bright day", "the gloomy day")
    return [("P", texts[int(side < 0)], texts[int(side > 0)]) for side in sides], judged(
        [[int(side)] for side in sides]
    )


@pytest.mark.parametrize(("baseline", "task"), [(LengthBaseline, by_length), (TfidfPreferenceBaseline, by_words)])
def test_each_baseline_learns_what_it_can_see(baseline: type, task: object) -> None:
    (train, outcomes), (valid, held) = task(80, 0), task(40, 1)  # type: ignore[operator]
    fitted = baseline().fit(train, outcomes, valid=valid, valid_judged=held)
    found = fitted.differences(valid)
    assert (np.sign(found) == held.outcomes).all()
    exchanged = fitted.differences([(prompt, second, first) for prompt, first, second in valid])
    np.testing.assert_allclose(exchanged, -found, atol=1e-9)


def test_length_alone_tells_nothing_of_words() -> None:
    (train, outcomes), (valid, held) = by_words(80, 0), by_words(40, 1)
    fitted = LengthBaseline().fit(train, outcomes, valid=valid, valid_judged=held)
    assert np.abs(fitted.differences(valid)).max() < 1e-6


def test_pairs_that_are_all_ties_are_refused() -> None:
    train, _ = by_length(4, 0)
    ties = judged([[0]] * 4)
    with pytest.raises(DataError, match="all of them are ties"):
        LengthBaseline().fit(train, ties, valid=train, valid_judged=ties)


def test_scores_before_fitting_are_refused() -> None:
    with pytest.raises(DataError, match="fit the baseline"):
        LengthBaseline().differences([("P", "a", "b")])
