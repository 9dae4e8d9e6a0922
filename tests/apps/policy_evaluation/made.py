"""Made-up runs and judges, for tests of what is computed from them."""

import numpy as np

from apps.policy_evaluation.completions import Cost, PolicyRun
from apps.policy_evaluation.figures import Strata
from apps.policy_evaluation.judging import FailureJudge
from nines.policies.attempts import Attempt, Generation


def attempt(text: str, index: int = 0) -> Attempt:
    return Attempt(text=text, tokens=(1,), token_log_probs=(-1.0,), log_prob=-1.0, finished=True, index=index)


def generation(prompt: str, text: str | None, *, tries: int = 1, conservatism: float | None = None) -> Generation:
    attempts = tuple(attempt(text or "no", index) for index in range(tries))
    return Generation(
        prompt=prompt,
        chosen=None if text is None else attempts[-1],
        attempts=attempts,
        tries=tries,
        gave_up=text is None,
        fallback="refuse" if text is None else None,
        conservatism=conservatism,
    )


def run(name: str, *texts: str | None, cost: Cost | None = None, **options: float) -> PolicyRun:
    generations = [generation(f"Prompt {place}.", text, **options) for place, text in enumerate(texts)]
    return PolicyRun(name, generations, cost or Cost(), fixed_rule=all(one.fixed_threshold for one in generations))


def strata(*names: str, weights: list[float] | None = None) -> Strata:
    masses = np.full(len(names), 1 / len(names)) if weights is None else np.array(weights)
    return Strata(np.array(names), masses, np.arange(len(names)))


def failure_judge(name: str = "judge", *, independent: bool = True, **scores: list[float]) -> FailureJudge:
    return FailureJudge(
        name, "folder", 0.5, independent, {policy: np.array(values) for policy, values in scores.items()}
    )
