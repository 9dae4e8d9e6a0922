"""Which attempts a filtered policy draws, and how it decides on each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nines.errors import NinesError
from nines.policies.attempts import Attempt, Generation, Report, Scorer
from nines.policies.scoring import score_attempts


@dataclass(frozen=True, kw_only=True)
class FilterRule:
    """The settings of `nines.policies.filtered.FilteredPolicy`, checked there."""

    threshold: float
    safest_of_batch: bool
    max_tries: int
    batch: int
    fallback: str
    conservatism: float | None
    require_finished: bool

    def threshold_after(self, rejections: int) -> float:
        """The threshold for an attempt that so many rejections came before."""
        return self.threshold if self.conservatism is None else self.threshold * self.conservatism**rejections

    def accepts(self, attempt: Attempt, *, rejections: int) -> bool:
        """Whether a scored attempt may be delivered."""
        if attempt.score is None:
            raise NinesError("an attempt without a score cannot be judged")
        whole = attempt.finished or not self.require_finished
        return whole and attempt.score < self.threshold_after(rejections)


@dataclass
class _Search:
    """What is known of one prompt: how many attempts were begun, which are scored, which judged in order."""

    prompt: str
    begun: int = 0
    scored: dict[int, Attempt] = field(default_factory=dict)
    judged: list[Attempt] = field(default_factory=list)
    generation: Generation | None = None


class FilterPlan:
    """Rejection sampling of many prompts.

    First an attempt for each prompt that waits for one, in the order of the list; rows that are left over take further
    attempts of undecided prompts, in the expectation of a rejection.

    Args:
        prompts: The texts.
        scorer: P(injurious).
        rule: Threshold, selection, budget.
        report: Called with each generation as soon as it is decided.
    """

    def __init__(
        self, prompts: Sequence[str], scorer: Scorer, rule: FilterRule, *, report: Report | None = None
    ) -> None:
        self._prompts, self._scorer, self._rule, self._report = prompts, scorer, rule, report
        self._searches = [_Search(prompt) for prompt in prompts]
        self._open: list[int] = []
        self._untouched = 0

    def start(self, free: int) -> list[tuple[int, int]]:
        """Attempts that are needed in any case first, then further ones."""
        requests: list[tuple[int, int]] = []
        self._open = [prompt for prompt in self._open if not self.done(prompt)]
        for prompt in self._open:
            requests += self._begin(prompt, upto=self._needed(prompt), free=free - len(requests))
        while len(requests) < free and self._untouched < len(self._prompts):
            prompt, self._untouched = self._untouched, self._untouched + 1
            self._open.append(prompt)
            requests += self._begin(prompt, upto=self._needed(prompt), free=free - len(requests))
        while len(requests) < free and not self._rule.safest_of_batch:
            further: list[tuple[int, int]] = []
            for prompt in self._open:
                search, room = self._searches[prompt], free - len(requests) - len(further)
                if search.begun - len(search.judged) < self._rule.batch:
                    further += self._begin(prompt, upto=search.begun + 1, free=room)
            if not further:
                break
            requests += further
        return requests

    def _needed(self, prompt: int) -> int:
        """How many attempts must have been begun by now, whatever comes of them."""
        judged = len(self._searches[prompt].judged)
        return judged + (self._rule.batch if self._rule.safest_of_batch else 1)

    def _begin(self, prompt: int, *, upto: int, free: int) -> list[tuple[int, int]]:
        search = self._searches[prompt]
        until = min(upto, self._rule.max_tries, search.begun + free)
        begun = [(prompt, index) for index in range(search.begun, until)]
        search.begun = max(search.begun, until)
        return begun

    def finish(self, finished: Sequence[tuple[int, Attempt]]) -> None:
        """Score the attempts of prompts that are not decided, and decide what can be decided now."""
        waiting = [(prompt, attempt) for prompt, attempt in finished if not self.done(prompt)]
        scores = score_attempts(self._scorer, self._prompts, waiting)
        for (prompt, attempt), score in zip(waiting, scores, strict=True):
            self._searches[prompt].scored[attempt.index] = replace(attempt, score=score)
        for prompt in dict.fromkeys(prompt for prompt, _ in waiting):
            self._decide(prompt)

    def done(self, prompt: int) -> bool:
        """Whether the prompt is decided."""
        return self._searches[prompt].generation is not None

    def generations(self) -> list[Generation]:
        """All of them, in the order of the prompts."""
        return [search.generation for search in self._searches if search.generation is not None]

    def _decide(self, prompt: int) -> None:
        """Judge attempts in the order of their numbers, as far as they are there, until one is delivered."""
        search, rule = self._searches[prompt], self._rule
        while search.generation is None:
            first = len(search.judged)
            size = min(rule.batch if rule.safest_of_batch else 1, rule.max_tries - first)
            group = [search.scored.get(index) for index in range(first, first + size)]
            found = [attempt for attempt in group if attempt is not None]
            if len(found) < size:
                return
            judged = [replace(attempt, accepted=rule.accepts(attempt, rejections=first)) for attempt in found]
            search.judged += judged
            accepted = [attempt for attempt in judged if attempt.accepted]
            if accepted:
                self._close(prompt, chosen=_safest(accepted), rejections=first, gave_up=False)
            elif len(search.judged) == rule.max_tries:
                chosen = _safest(search.judged) if rule.fallback == "safest" else None
                self._close(prompt, chosen=chosen, rejections=first, gave_up=True)

    def _close(self, prompt: int, *, chosen: Attempt | None, rejections: int, gave_up: bool) -> None:
        search, rule = self._searches[prompt], self._rule
        search.generation = Generation(
            prompt=search.prompt,
            chosen=chosen,
            attempts=tuple(search.judged),
            tries=len(search.judged),
            gave_up=gave_up,
            fallback=rule.fallback if gave_up else None,
            threshold=rule.threshold_after(rejections),
            conservatism=rule.conservatism,
        )
        search.scored = {}
        if self._report is not None:
            self._report(prompt, search.generation)


def _safest(attempts: Sequence[Attempt]) -> Attempt:
    """The lowest score; of equals the first."""
    return min(attempts, key=lambda attempt: float("inf") if attempt.score is None else attempt.score)
