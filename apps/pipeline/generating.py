"""Completions of the pipeline's policies, in files of their own: what was drawn, and what it cost."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.generation_output import as_row
from apps.pipeline.stages import end_if_asked
from nines.errors import UserError
from nines.files import read_json, write_json, write_text

if TYPE_CHECKING:
    from nines.policies.attempts import Generation, Policy
    from nines.policies.options import SamplingOptions
    from nines.policies.sampler import Sampler

WARM_UP = 4
"""Prompts that are completed before the clock starts: the first pass allocates, and is no part of the price."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What the completions of a policy took.

    Attributes:
        seconds: Wall-clock time, the filter's classifier included.
        prompt_tokens: Tokens of prompts that were read.
        drawn_tokens: Tokens that were drawn, those of rejected and dropped attempts included.
    """

    seconds: float
    prompt_tokens: int
    drawn_tokens: int


def sampler_of(source: str, options: SamplingOptions, *, rows: int, device: str) -> Sampler:
    """A sampler of the language model that `source` names."""
    from nines.policies.loading import load_for_sampling
    from nines.policies.sampler import Sampler

    return Sampler(load_for_sampling(source, device=device), options, rows=rows)


def generate_to(
    file: Path, prompts: Sequence[str], *, seed: int, make: Callable[[], tuple[Sampler, Policy]]
) -> tuple[list[dict[str, Any]], Cost]:
    """Complete every prompt once and write `file`, unless it is there; give its rows and what they cost.

    Args:
        file: JSON Lines, a line for each prompt in order; what it cost stands beside it in `<file>.cost.json`.
        prompts: The texts.
        seed: Of all random numbers.
        make: Builds sampler and policy; not called if the file is there.

    Raises:
        StopAsked: A signal asked to end; nothing is written then.
    """
    cost_file = file.with_name(f"{file.name}.cost.json")
    if not cost_file.is_file():
        sampler, policy = make()
        policy.generate(prompts[:WARM_UP], seed=seed + 1)
        read, drawn, started = sampler.work.prompt_tokens, sampler.work.drawn_tokens, time.perf_counter()
        found = policy.generate(prompts, seed=seed, report=_look_out)
        cost = Cost(
            seconds=time.perf_counter() - started,
            prompt_tokens=sampler.work.prompt_tokens - read,
            drawn_tokens=sampler.work.drawn_tokens - drawn,
        )
        lines = (json.dumps(as_row(number, one), ensure_ascii=False) for number, one in enumerate(found))
        write_text(file, "".join(f"{line}\n" for line in lines))
        write_json(cost_file, dataclasses.asdict(cost))  # last: it says that the other is there
    return read_rows(file), Cost(**read_json(cost_file))


def sample_to(file: Path, prompts: Sequence[str], *, each: int, seed: int, sampler: Sampler) -> list[tuple[str, str]]:
    """Draw `each` completions of every prompt and write `file`; pairs of prompt and completion.

    A completion without any text is left out: there is nothing to judge.

    Raises:
        UserError: Most have no text: whatever is built on them would be built on nothing.
    """
    found = sampler.sample(prompts, completions=each, seed=seed)
    pairs = [
        (prompt, attempt.text)
        for prompt, attempts in zip(prompts, found, strict=True)
        for attempt in attempts
        if attempt.text
    ]
    drawn = len(prompts) * each
    if len(pairs) < drawn / 2:
        raise UserError(
            f"the base policy says nothing: {drawn - len(pairs)} of {drawn} completions are empty; it ends at once, as "
            "models do that learned to end behind every sentence (datamodule.end_token=false)"
        )
    lines = (json.dumps({"prompt": prompt, "completion": text}, ensure_ascii=False) for prompt, text in pairs)
    write_text(file, "".join(f"{line}\n" for line in lines))
    return pairs


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON Lines."""
    # Not splitlines: a text may hold one of the rarer line ends.
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def _look_out(place: int, generation: Generation) -> None:  # noqa: ARG001 - as policies call it
    end_if_asked()
