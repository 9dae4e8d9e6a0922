from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from nines.errors import ConfigError, DivergedError, NinesError
from nines.policies.attempts import Generation
from nines.policies.base import BasePolicy
from nines.policies.best_of_n import BestOfN
from nines.policies.filtered import FilteredPolicy
from tests.nines.policies.toy_world import distribution, score, toy_sampler, toy_scorer

PROMPT = "go run"
THRESHOLD = 0.15
DRAWS = 2000


def filtered(*, rows: int = 64, **settings: Any) -> FilteredPolicy:
    return FilteredPolicy(
        toy_sampler(rows=rows), toy_scorer().call, **{"threshold": THRESHOLD, "max_tries": 200} | settings
    )


def chi_square(counts: Counter[Any], expected: dict[Any, float]) -> float:
    """The p-value of counts under probabilities, those expected fewer than five times taken together."""
    total = counts.total()
    assert set(counts) <= {key for key, probability in expected.items() if probability > 0}
    large = [key for key, probability in expected.items() if probability * total >= 5]
    found = [counts[key] for key in large]
    means = [expected[key] * total for key in large]
    if total - sum(means) > 1:
        found, means = [*found, total - sum(found)], [*means, total - sum(means)]
    return float(stats.chisquare(found, np.array(means) * sum(found) / sum(means)).pvalue)


@pytest.fixture(scope="module")
def accepted_first() -> list[Generation]:
    return filtered(rows=48, batch=3).generate([PROMPT] * DRAWS, seed=5)


def test_the_accepted_completion_is_distributed_as_the_base_given_acceptance(accepted_first: list[Generation]) -> None:
    base = distribution(toy_sampler(), PROMPT)
    assert sum(base.values()) == pytest.approx(1, abs=1e-6)
    rate = sum(probability for text, probability in base.items() if score(text) < THRESHOLD)
    assert 0.2 < rate < 0.8
    expected = {text: probability / rate for text, probability in base.items() if score(text) < THRESHOLD}
    assert chi_square(Counter(g.chosen.text for g in accepted_first if g.chosen), expected) > 0.001
    assert chi_square(Counter(g.chosen.text for g in accepted_first if g.chosen), skewed(expected)) < 1e-6


def skewed(expected: dict[str, float]) -> dict[str, float]:
    """What a policy would deliver that takes whichever accepted completion ends first: too many short ones."""
    weights = {text: probability * (1.5 if len(text.split()) < 3 else 1.0) for text, probability in expected.items()}
    return {text: weight / sum(weights.values()) for text, weight in weights.items()}


def test_tries_are_geometric(accepted_first: list[Generation]) -> None:
    base = distribution(toy_sampler(), PROMPT)
    rate = sum(probability for text, probability in base.items() if score(text) < THRESHOLD)
    expected = {tries: rate * (1 - rate) ** (tries - 1) for tries in range(1, 200)}
    assert chi_square(Counter(generation.tries for generation in accepted_first), expected) > 0.001


def test_every_attempt_is_there_in_order_and_only_the_last_is_accepted(accepted_first: list[Generation]) -> None:
    for generation in accepted_first[:300]:
        assert [attempt.index for attempt in generation.attempts] == list(range(generation.tries))
        assert [attempt.accepted for attempt in generation.attempts] == [False] * (generation.tries - 1) + [True]
        assert all(attempt.score == score(attempt.text) for attempt in generation.attempts)
        assert generation.chosen == generation.attempts[-1]
        assert (generation.gave_up, generation.fallback, generation.threshold) == (False, None, THRESHOLD)
        assert generation.fixed_threshold


def test_the_base_policy_draws_from_the_model() -> None:
    found = BasePolicy(toy_sampler()).generate([PROMPT] * DRAWS, seed=1)
    assert chi_square(Counter(g.chosen.text for g in found if g.chosen), distribution(toy_sampler(), PROMPT)) > 0.001
    assert {generation.tries for generation in found} == {1}


@pytest.mark.parametrize("settings", [{"batch": 1}, {"batch": 9}, {"rows": 1}, {"rows": 5, "batch": 2}])
def test_neither_rows_nor_speculation_changes_what_is_delivered(settings: dict[str, int]) -> None:
    prompts = ["go run", "sit", "nap nap cut", "hit"] * 5
    reference = filtered(rows=16, batch=4).generate(prompts, seed=8)
    found = filtered(**settings).generate(prompts, seed=8)
    assert [outcome(generation) for generation in found] == [outcome(generation) for generation in reference]


def test_part_of_a_list_gets_what_the_whole_list_would_have_got() -> None:
    prompts = ["go run", "sit", "nap nap cut", "hit"]
    policy = filtered()
    whole = policy.generate(prompts, seed=8)
    part = policy.generate([prompts[3], prompts[1]], seed=8, numbers=[3, 1])
    assert [outcome(generation) for generation in part] == [outcome(whole[3]), outcome(whole[1])]


def outcome(generation: Generation) -> tuple[object, ...]:
    return (generation.prompt, generation.tries, [(a.text, a.score, a.accepted) for a in generation.attempts])


def test_the_safest_of_a_batch_has_the_distribution_of_a_minimum() -> None:
    batch = 4
    found = filtered(selection="safest_of_batch", batch=batch).generate([PROMPT] * DRAWS, seed=3)
    base = distribution(toy_sampler(), PROMPT)
    levels = sorted({score(text) for text in base})
    mass = np.array([sum(p for text, p in base.items() if score(text) == level) for level in levels])
    above = np.append(mass[::-1].cumsum()[::-1], 0.0)
    minimum = {level: above[i] ** batch - above[i + 1] ** batch for i, level in enumerate(levels) if level < THRESHOLD}
    rate = sum(minimum.values())
    counts = Counter(generation.chosen.score for generation in found if generation.chosen)
    assert chi_square(counts, {level: probability / rate for level, probability in minimum.items()}) > 0.001
    assert {generation.tries % batch for generation in found} == {0}
    batches = {n: rate * (1 - rate) ** (n - 1) for n in range(1, 50)}
    assert chi_square(Counter(generation.tries // batch for generation in found), batches) > 0.001


@pytest.mark.parametrize("selection", ["first_accepted", "safest_of_batch"])
def test_giving_up_is_said_and_falls_back_as_asked(selection: str) -> None:
    settings = {"selection": selection, "threshold": 1e-9, "max_tries": 7, "batch": 3}
    prompts = ["cut hit", "hit cut"] * 20
    refused = filtered(fallback="refuse", **settings).generate(prompts, seed=0)
    safest = filtered(fallback="safest", **settings).generate(prompts, seed=0)
    gave_up = [generation for generation in refused if generation.gave_up]
    assert gave_up
    assert all(g.chosen is None and g.fallback == "refuse" and g.tries == 7 for g in gave_up)
    for generation in (generation for generation in safest if generation.gave_up):
        assert generation.fallback == "safest"
        assert generation.chosen is not None
        assert not generation.chosen.accepted
        assert generation.chosen.score == min(attempt.score or 0 for attempt in generation.attempts)
    assert [generation.gave_up for generation in safest] == [generation.gave_up for generation in refused]


def test_conservatism_lowers_the_threshold_with_each_rejection_and_marks_the_result() -> None:
    found = filtered(threshold=0.5, conservatism=0.5).generate([PROMPT] * 400, seed=2)
    assert not any(generation.fixed_threshold for generation in found)
    for generation in found:
        for attempt in generation.attempts:
            assert attempt.accepted == (attempt.score is not None and attempt.score < 0.5 * 0.5**attempt.index)
        assert generation.threshold == 0.5 * 0.5 ** (generation.tries - 1)
    # "hit" alone scores 0.2: fine at first, too much after two rejections.
    assert any(g.chosen and g.chosen.score == 0.2 for g in found if g.tries <= 2)
    assert not any(g.chosen and g.chosen.score == 0.2 for g in found if g.tries > 2)


def test_a_cut_completion_can_be_required_to_be_whole() -> None:
    found = filtered(require_finished=True).generate([PROMPT] * 200, seed=2)
    assert all(generation.chosen and generation.chosen.finished for generation in found)
    assert any(a.score is not None and a.score < THRESHOLD and not a.accepted for g in found for a in g.attempts)


def test_dropped_attempts_are_neither_scored_after_the_decision_nor_drawn_to_their_end() -> None:
    scorer = toy_scorer()
    policy = FilteredPolicy(toy_sampler(rows=8), scorer.call, threshold=0.9999, batch=8)
    (generation,) = policy.generate([PROMPT], seed=0)
    assert generation.tries == 1
    assert len(scorer.asked) <= 8


def test_each_generation_is_reported_once() -> None:
    reported: dict[int, Generation] = {}

    def report(prompt: int, generation: Generation) -> None:
        assert prompt not in reported
        reported[prompt] = generation

    for policy in (filtered(), BasePolicy(toy_sampler()), BestOfN(toy_sampler(), toy_scorer().call, n=3)):
        reported.clear()
        found = policy.generate(["go run", "sit", "hit"], seed=1, report=report)
        assert [reported[prompt] for prompt in range(3)] == found


def test_best_of_n_delivers_the_best_of_the_same_attempts() -> None:
    found = BestOfN(toy_sampler(), toy_scorer().call, n=5).generate([PROMPT] * 50, seed=4)
    for generation in found:
        assert generation.tries == len(generation.attempts) == 5
        assert generation.chosen
        assert generation.chosen.score == max(attempt.score or 0 for attempt in generation.attempts)
    base = BasePolicy(toy_sampler()).generate([PROMPT] * 50, seed=4)
    assert [g.attempts[0].text for g in found] == [g.chosen.text for g in base if g.chosen]
    assert len({attempt.text for attempt in found[0].attempts}) > 1
    assert any(a.score == b.score for g in found for a, b in pairwise(g.attempts)), "ties occur"
    for generation in found:
        best = [attempt for attempt in generation.attempts if attempt.score == generation.chosen.score]
        assert generation.chosen.index == best[0].index


@pytest.mark.parametrize("value", [float("nan"), None])
def test_a_scorer_that_fails_stops_the_policy(value: float | None) -> None:
    def scorer(prompts: Sequence[str], completions: Sequence[str]) -> NDArray[np.float64]:
        return np.full(len(completions), value) if value is not None else np.zeros(len(completions) + 1)

    with pytest.raises(DivergedError if value is not None else NinesError):
        FilteredPolicy(toy_sampler(), scorer, threshold=0.5).generate([PROMPT], seed=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"max_tries": 0},
        {"batch": 0},
        {"conservatism": 1.0},
        {"selection": "first"},
        {"fallback": "empty"},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        filtered(**wrong)
