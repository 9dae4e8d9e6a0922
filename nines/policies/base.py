"""The policy that delivers the first completion that comes: the base policy, and the distilled one."""

from __future__ import annotations

from collections.abc import Sequence

from nines.policies.attempts import Attempt, Generation, Report
from nines.policies.plans import FixedCount
from nines.policies.sampler import Sampler


class BasePolicy:
    """One completion a prompt, nothing asked of it.

    A distilled policy is this with the model that PPO has trained: see `DistilledPolicy`.

    Args:
        sampler: Of the language model.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def generate(
        self, prompts: Sequence[str], *, seed: int, numbers: Sequence[int] | None = None, report: Report | None = None
    ) -> list[Generation]:
        """As `nines.policies.attempts.Policy`."""
        plan = _Delivery(prompts, report=report)
        self.sampler.run(prompts, plan, seed=seed, numbers=numbers)
        return [plan.generation(prompt) for prompt in range(len(prompts))]


class DistilledPolicy(BasePolicy):
    """The base policy with a model that was trained to do without the filter; its safety is the model's own."""


class _Delivery(FixedCount):
    """One attempt a prompt, reported as it comes."""

    def __init__(self, prompts: Sequence[str], *, report: Report | None) -> None:
        super().__init__(len(prompts), count=1)
        self._prompts, self._report = prompts, report

    def finish(self, finished: Sequence[tuple[int, Attempt]]) -> None:
        super().finish(finished)
        for prompt, _ in finished:
            if self._report is not None:
                self._report(prompt, self.generation(prompt))

    def generation(self, prompt: int) -> Generation:
        (attempt,) = self.attempts_of(prompt)
        return Generation(prompt=self._prompts[prompt], chosen=attempt, attempts=(attempt,), tries=1)
