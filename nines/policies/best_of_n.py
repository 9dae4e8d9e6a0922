"""The policy that draws several completions and delivers the one of best quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nines.errors import ConfigError
from nines.policies.attempts import Attempt, Generation, Report, Scorer
from nines.policies.plans import FixedCount
from nines.policies.sampler import Sampler
from nines.policies.scoring import score_attempts


class BestOfN:
    """Of `n` completions the one that the scorer likes best; of equals the first.

    Args:
        sampler: Of the language model.
        scorer: Quality: higher is better.
        n: Completions a prompt, at least 1.
    """

    def __init__(self, sampler: Sampler, scorer: Scorer, *, n: int = 8) -> None:
        if n < 1:
            raise ConfigError(f"policy.n must be at least 1, got {n}")
        self.sampler, self.scorer, self.n = sampler, scorer, n

    def generate(
        self, prompts: Sequence[str], *, seed: int, numbers: Sequence[int] | None = None, report: Report | None = None
    ) -> list[Generation]:
        """As `nines.policies.attempts.Policy`; the tries are `n`."""
        plan = _Contest(prompts, self.scorer, n=self.n, report=report)
        self.sampler.run(prompts, plan, seed=seed, numbers=numbers)
        return [plan.generation(prompt) for prompt in range(len(prompts))]


class _Contest(FixedCount):
    """`n` scored attempts a prompt; a prompt is reported when all are there."""

    def __init__(self, prompts: Sequence[str], scorer: Scorer, *, n: int, report: Report | None) -> None:
        super().__init__(len(prompts), count=n)
        self._prompts, self._scorer, self._report = prompts, scorer, report

    def finish(self, finished: Sequence[tuple[int, Attempt]]) -> None:
        scores = score_attempts(self._scorer, self._prompts, finished)
        super().finish(
            [(prompt, replace(attempt, score=score)) for (prompt, attempt), score in zip(finished, scores, strict=True)]
        )
        for prompt in dict.fromkeys(prompt for prompt, _ in finished):
            if self._report is not None and self.done(prompt):
                self._report(prompt, self.generation(prompt))

    def generation(self, prompt: int) -> Generation:
        attempts = self.attempts_of(prompt)
        # max keeps the first of equals.
        best = max(attempts, key=lambda attempt: attempt.score if attempt.score is not None else float("-inf"))
        return Generation(prompt=self._prompts[prompt], chosen=best, attempts=tuple(attempts), tries=len(attempts))
