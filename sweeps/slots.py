"""Which slots of a sweep (set of parameters × training seed) are done, active, to be retried or still to come.

Pure bookkeeping over the rows of the study; what to do about it is decided in `sweeps.life_cycle`.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

from sweeps.definition import SweepDefinition
from sweeps.samplers import fixed_sets

# With a row that was enqueued although another one stands for its slot: the number of that one.
SUPERSEDED_BY = "superseded_by"


@dataclasses.dataclass(frozen=True)
class Slots:
    """The newest row of each slot.

    Attributes:
        newest: (group, seed) to the row with the highest attempt.
        definition: The sweep, for how many sets, seeds and retries are asked for.
        surplus: Waiting rows whose slot another row stands for, which must not be started: who retries where the lock
            is not to be seen may do so twice.
    """

    newest: dict[tuple[int, int], FrozenTrial]
    definition: SweepDefinition
    surplus: tuple[FrozenTrial, ...] = ()

    @classmethod
    def read(cls, rows: Iterable[FrozenTrial], definition: SweepDefinition) -> Slots:
        """Sort the rows into slots; rows whose worker died before they became a set belong to none."""
        slots: defaultdict[tuple[int, int], list[FrozenTrial]] = defaultdict(list)
        for row in rows:
            if "group" in row.user_attrs and SUPERSEDED_BY not in row.user_attrs:
                slots[int(row.user_attrs["group"]), int(row.user_attrs["seed"])].append(row)
        newest = {slot: max(members, key=_precedence) for slot, members in slots.items()}
        surplus = [
            row
            for slot, members in slots.items()
            for row in members
            if row.state == TrialState.WAITING and row.number != newest[slot].number
        ]
        return cls(newest, definition, tuple(surplus))

    def standing_for(self, row: FrozenTrial) -> FrozenTrial:
        """The newest row of the slot of `row`."""
        return self.newest[int(row.user_attrs["group"]), int(row.user_attrs["seed"])]

    @property
    def groups(self) -> int:
        """Sets of parameters asked for; a grid has no more than its combinations."""
        known = fixed_sets(self.definition.sampler, self.definition.space)
        return self.definition.trials if known is None else min(self.definition.trials, len(known))

    def failed(self) -> list[FrozenTrial]:
        """Rows of slots that failed, whether a retry is due or not."""
        return [row for row in self.newest.values() if row.state == TrialState.FAIL]

    def never_started(self) -> list[FrozenTrial]:
        """Failed rows that no process ever claimed: their retry costs nothing of the allowance."""
        return [row for row in self.failed() if row.user_attrs.get("retry") and "claim" not in row.user_attrs]

    def to_retry(self) -> list[FrozenTrial]:
        """Failed rows whose process died and whose allowance of retries is not used up."""
        return [
            row
            for row in self.failed()
            if row.user_attrs.get("retry")
            and "claim" in row.user_attrs
            and int(row.user_attrs.get("retries_used", 0)) < self.definition.retries
        ]

    def active(self) -> bool:
        """Whether any slot is running or waiting."""
        return any(not row.state.is_finished() for row in self.newest.values())

    def missing_repeat(self) -> tuple[FrozenTrial, int] | None:
        """The first row of a set and the first seed that the set still lacks.

        Where the sweep prunes, only the first seed of a set may be pruned, so that repeats measure the seed noise of
        whole runs; the other seeds wait for it, and do not run when it was pruned.
        """
        prunes = self.definition.pruner["name"] != "none"
        for group in sorted({group for group, _ in self.newest}):
            first = self.newest.get((group, 0))
            if first is None or group >= self.groups or first.state == TrialState.FAIL:
                continue  # what fails with one seed fails with the others; `retry` starts it again
            if prunes and (first.state == TrialState.PRUNED or not first.state.is_finished()):
                continue
            for seed in range(1, self.definition.seeds):
                if (group, seed) not in self.newest:
                    return first, seed
        return None

    def next_group(self) -> int | None:
        """Number of the next new set of parameters, None when all have begun."""
        begun = 1 + max((group for group, _ in self.newest), default=-1)
        return begun if begun < self.groups else None


def _precedence(row: FrozenTrial) -> tuple[int, bool, int]:
    """Of two rows of one slot, the later attempt stands; of equal ones that which has begun, then the earlier row."""
    return int(row.user_attrs["attempt"]), row.state != TrialState.WAITING, -row.number
