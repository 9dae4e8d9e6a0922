"""The sentences: a planted difference is stated, a planted lack of one is not, and no seeds mean no claims."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from sweeps.report.page import analyse


def sentences(toy: Any) -> str:
    return "\n".join(analyse(toy.records, toy.definition).sentences)


@pytest.fixture(scope="module")
def planted_sentences(planted: Any) -> str:
    return sentences(planted)


def test_the_planted_difference_is_stated_with_its_interval(planted_sentences: str) -> None:
    text = planted_sentences
    assert "clipping=norm reaches a higher valid/partial_auc than clipping=none" in text
    assert "clipping=norm reaches a higher valid/partial_auc than clipping=value" in text


def test_the_planted_lack_of_a_difference_is_not_stated(planted_sentences: str) -> None:
    text = planted_sentences
    assert "than clipping=value, each tuned" in text
    assert "clipping=none reaches" not in text
    assert "clipping=value reaches" not in text
    assert "imbalance=focal reaches" not in text
    assert "imbalance=none reaches" not in text
    assert "No difference between imbalance=none and imbalance=focal is larger than the noise" in text


def test_a_sweep_of_pure_noise_claims_nothing(make_sweep: Any) -> None:
    toy = make_sweep()
    toy.fill(lambda params: 0.7, sets=18, noise=0.02, seed=3)
    text = sentences(toy)
    assert " reaches a " not in text
    assert "No difference between the choices of clipping" in text
    assert "Which parameter matters most is open" in text


def test_one_seed_supports_no_difference_however_large(make_sweep: Any) -> None:
    toy = make_sweep(seeds=1)

    def score(params: Mapping[str, Any]) -> float:
        return 0.9 if params["clipping"] == "norm" else 0.1

    toy.fill(score, sets=20, noise=0.001)
    text = sentences(toy)
    assert "Nothing is concluded about clipping, imbalance: one seed for each set leaves the noise unknown." in text
    assert " reaches a " not in text
    assert "Set seeds=3 or more to compare." in text


def test_the_best_set_goes_by_its_mean_and_says_that_it_was_picked(planted: Any, planted_sentences: str) -> None:
    means: dict[int, list[float]] = {}
    for record in planted.records:
        if record.state == "completed":
            means.setdefault(record.group, []).append(record.value)
    best = max(means, key=lambda group: float(np.mean(means[group])))
    text = planted_sentences
    assert f"The best mean valid/partial_auc is {np.mean(means[best]):.4f}" in text
    assert f"by set {best} (" in text
    assert "It was picked as the best of 24" in text


def test_what_is_still_to_come_is_counted(make_sweep: Any) -> None:
    toy = make_sweep()
    toy.fill(lambda params: 0.7, sets=2, noise=0.01)
    assert "Of 60 trials asked for (20 sets of parameters × 3 seeds): 6 completed. Still to finish: 54" in sentences(
        toy
    )


def test_an_empty_sweep_concludes_nothing(make_sweep: Any) -> None:
    assert "No trial has completed, so there is nothing to conclude yet." in sentences(make_sweep())
