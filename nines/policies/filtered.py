"""The policy that a classifier filters: completions are drawn until one scores below the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from nines.errors import ConfigError, nearest
from nines.policies.attempts import Generation, Report, Scorer
from nines.policies.filter_plan import FilterPlan, FilterRule
from nines.policies.sampler import Sampler

Selection = Literal["first_accepted", "safest_of_batch"]
Fallback = Literal["refuse", "safest"]


class FilteredPolicy:
    """Rejection sampling from the base policy, with a budget.

    With `first_accepted` the delivered completion is distributed as the base policy's given that it is accepted, and
    without the budget the number of tries is geometric. With `safest_of_batch` it is neither: the lowest score of a
    batch is a stronger choice than being below the threshold, so the two must not be mixed in one estimate.

    Args:
        sampler: Of the language model.
        scorer: P(injurious); a completion is accepted if its score lies below the threshold.
        threshold: In (0, 1].
        selection: "first_accepted": the accepted attempt with the lowest number. "safest_of_batch": attempts come in
            batches; of the first batch with an accepted one the one with the lowest score.
        max_tries: Attempts at most, at least 1; without an accepted one among them the policy gives up.
        batch: With `safest_of_batch` the size of a batch. With `first_accepted` how many attempts of one prompt may be
            in progress at once, when rows would be idle otherwise: it changes the speed, never the result.
        fallback: On giving up "refuse" delivers nothing, "safest" the attempt with the lowest score.
        conservatism: A factor in (0, 1) by which each rejection lowers the threshold for the attempts behind it (of a
            batch, for the batches behind it): after many rejections an acceptance is more likely to be a mistake. The
            generations say so, since estimators for a fixed rule do not hold for them. None for a fixed threshold.
        require_finished: Reject a completion that the limit of tokens has cut, whatever its score.

    Raises:
        ConfigError: A value out of range.
    """

    def __init__(
        self,
        sampler: Sampler,
        scorer: Scorer,
        *,
        threshold: float,
        selection: Selection = "first_accepted",
        max_tries: int = 32,
        batch: int = 8,
        fallback: Fallback = "refuse",
        conservatism: float | None = None,
        require_finished: bool = False,
    ) -> None:
        if not 0 < threshold <= 1:
            raise ConfigError(f"threshold must lie in (0, 1], got {threshold}")
        for name, value, kind in (("selection", selection, Selection), ("fallback", fallback, Fallback)):
            if value not in get_args(kind):
                raise ConfigError(f"policy.{name} = {value!r}: {nearest(value, get_args(kind))}")
        if max_tries < 1 or batch < 1:
            raise ConfigError(
                f"policy.max_tries and policy.batch must be at least 1, got max_tries={max_tries} and batch={batch}"
            )
        if conservatism is not None and not 0 < conservatism < 1:
            raise ConfigError(
                f"policy.conservatism must lie in (0, 1), got {conservatism}; null keeps the threshold fixed"
            )
        self.sampler, self.scorer = sampler, scorer
        self.rule = FilterRule(
            threshold=threshold,
            safest_of_batch=selection == "safest_of_batch",
            max_tries=max_tries,
            batch=batch,
            fallback=fallback,
            conservatism=conservatism,
            require_finished=require_finished,
        )

    def generate(
        self, prompts: Sequence[str], *, seed: int, numbers: Sequence[int] | None = None, report: Report | None = None
    ) -> list[Generation]:
        """As `nines.policies.attempts.Policy`; the attempts behind the decisive one are dropped and not counted."""
        plan = FilterPlan(prompts, self.scorer, self.rule, report=report)
        self.sampler.run(prompts, plan, seed=seed, numbers=numbers)
        return plan.generations()
