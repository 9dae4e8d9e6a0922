"""Reads from the trace of a run whether every attempt went on exactly where the newest checkpoint stood."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.chaos.trace import Event


@dataclasses.dataclass
class Resumes:
    """What a trace shows.

    Attributes:
        attempts: Processes that trained.
        redone: Steps that were done again because they lay behind the newest checkpoint, over all resumes.
        longest: The most of them at one resume.
        lost: Steps lost although a checkpoint held them; must be 0.
        violations: One line for each rule that was broken.
    """

    attempts: int = 0
    redone: int = 0
    longest: int = 0
    lost: int = 0
    violations: list[str] = dataclasses.field(default_factory=list)


def examine(events: Sequence[Event], *, every_n_steps: int) -> Resumes:
    """Hold a trace against the rules.

    1. An attempt starts at the step of the newest whole checkpoint, at 0 where there was none.
    2. It does again at most the steps between two checkpoints.
    3. A process that lost the run to another one saves nothing any more.

    Args:
        events: The trace, in the order in which it was written.
        every_n_steps: Steps between two checkpoints.
    """
    result = Resumes()
    steps_of: dict[str, int] = {}  # whole checkpoints to the step that each holds
    newest = 0  # step of the newest whole checkpoint
    begun = 0  # step of the newest save that began
    furthest = 0
    attempts: list[str] = []
    for event in events:
        if event.checkpoint not in ("", *steps_of):
            # It is another file than before, so the save that began last has been finished.
            steps_of[event.checkpoint] = begun
            newest = max(newest, begun)
        if event.kind == "start" and event.attempt not in attempts:
            _examine_start(event, result, steps_of, newest=newest, furthest=furthest, every_n_steps=every_n_steps)
            attempts.append(event.attempt)
            furthest = event.step
        elif attempts and event.attempt != attempts[-1]:
            if event.kind == "save":
                line = f"attempt {event.attempt} saved at step {event.step} after attempt {attempts[-1]} had begun"
                result.violations.append(line)
            continue
        if event.kind == "save":
            begun = event.step
        furthest = max(furthest, event.step)
    result.attempts = len(attempts)
    return result


def _examine_start(
    event: Event, result: Resumes, steps_of: dict[str, int], *, newest: int, furthest: int, every_n_steps: int
) -> None:
    held = steps_of.get(event.checkpoint, 0)
    where = f"attempt {event.attempt} on {event.host or 'an unknown host'}"
    if event.step != held:
        result.violations.append(f"{where} starts at step {event.step}, its checkpoint holds step {held}")
    if event.step < newest:
        result.lost += newest - event.step
        result.violations.append(f"{where} starts at step {event.step} although step {newest} had been saved")
    again = max(furthest - event.step, 0)
    result.redone += again
    result.longest = max(result.longest, again)
    # One step more: its save may have been cut short.
    if again > every_n_steps + 1:
        result.violations.append(f"{where} does {again} steps again; a checkpoint was due every {every_n_steps}")
