"""Runs the two policies of an evaluation on the same prompts, into files that are continued after an interruption."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.generate import build_policy, settings_of
from apps.generation_output import Transcript, read_generations
from nines.errors import ConfigError
from nines.files import read_json, write_json

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from nines.policies.attempts import Generation

POLICIES = ("base", "filtered", "best_of_n", "distilled")
# One call of the sampler at a time, so that a kill loses little and the cost of each part is on disk.
PROMPTS_AT_ONCE = 256


@dataclass(frozen=True)
class Cost:
    """What the completions of a policy took.

    Attributes:
        prompts: How many prompts the figures are over: those of parts that a kill has cut are not timed.
        delivered: To how many of them a completion was delivered.
        seconds: Wall clock of sampling and scoring, models loaded.
        drawn_tokens: Tokens drawn, those of rejected and dropped attempts included.
    """

    prompts: int = 0
    delivered: int = 0
    seconds: float = 0.0
    drawn_tokens: int = 0

    def plus(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(
            prompts=self.prompts + other.prompts,
            delivered=self.delivered + other.delivered,
            seconds=self.seconds + other.seconds,
            drawn_tokens=self.drawn_tokens + other.drawn_tokens,
        )

    def per_delivered(self) -> dict[str, float | None]:
        """Seconds and tokens for each delivered completion; None where none was."""
        if not self.delivered:
            return {"seconds": None, "drawn_tokens": None}
        return {"seconds": self.seconds / self.delivered, "drawn_tokens": self.drawn_tokens / self.delivered}


@dataclass(frozen=True)
class PolicyRun:
    """What one policy made of the prompts.

    Attributes:
        name: Of the policy.
        generations: One for each prompt, in their order.
        cost: What they took.
        fixed_rule: Every attempt was judged by one rule, so that estimators for a fixed threshold hold.
    """

    name: str
    generations: Sequence[Generation]
    cost: Cost
    fixed_rule: bool


def policy_name(target: str) -> str:
    """The name under which `nines` knows the policy of a class, such as "filtered"."""
    return {
        "BasePolicy": "base",
        "FilteredPolicy": "filtered",
        "BestOfN": "best_of_n",
        "DistilledPolicy": "distilled",
    }.get(target.rpartition(".")[2], target)


def side_config(config: DictConfig, *, policy: DictConfig) -> DictConfig:
    """The configuration of `nines generate` for one of the two policies.

    Raises:
        ConfigError: The policy needs a model that was not given.
    """
    from omegaconf import OmegaConf

    name = policy_name(str(policy._target_))
    needs = {"filtered": "classifier", "best_of_n": "reward_model", "distilled": "distilled"}
    if name in needs and config[needs[name]] is None:
        raise ConfigError(f"policy {name} needs {needs[name]}=<folder>")
    shared = ("sampling", "seed", "rows", "max_prompt_tokens", "precision", "device", "threads")
    return OmegaConf.create(
        {
            **{key: config[key] for key in shared},
            "prompts": None,
            "policy": policy,
            "source": config.distilled if name == "distilled" else config.source,
            "classifier": config.classifier if name == "filtered" else None,
            "threshold": config.threshold if name == "filtered" else None,
            "reward_model": config.reward_model if name == "best_of_n" else None,
        }
    )


def complete(config: DictConfig, prompts: Sequence[str], *, name: str, seed: int, file: Path) -> PolicyRun:
    """Continue every prompt by one policy; what is in `file` already is kept.

    Args:
        config: As `side_config` gives it.
        prompts: The texts.
        name: Of the policy.
        seed: Of all random numbers.
        file: JSON Lines of `nines generate`; the cost is kept beside it.

    Raises:
        UserError: The file was made with other settings.
    """
    transcript = Transcript.open(file, settings={**settings_of(config), "seed": seed})
    missing = transcript.missing(prompts)
    cost_file = file.with_suffix(".cost.json")
    cost = Cost(**read_json(cost_file)) if cost_file.exists() else Cost()
    if missing:
        sampler, policy = build_policy(config)
        for start in range(0, len(missing), PROMPTS_AT_ONCE):
            places = missing[start : start + PROMPTS_AT_ONCE]
            tokens_before, started = sampler.work.drawn_tokens, time.perf_counter()

            def keep(place: int, generation: Generation, *, places: Sequence[int] = places) -> None:
                transcript.append(places[place], generation)

            found = policy.generate([prompts[place] for place in places], seed=seed, numbers=places, report=keep)
            part = Cost(
                prompts=len(places),
                delivered=sum(generation.chosen is not None for generation in found),
                seconds=time.perf_counter() - started,
                drawn_tokens=sampler.work.drawn_tokens - tokens_before,
            )
            cost = cost.plus(part)
            write_json(cost_file, vars(cost))
    read = read_generations(file)
    generations = [read[number] for number in range(len(prompts))]
    return PolicyRun(name, generations, cost, fixed_rule=all(one.fixed_threshold for one in generations))


def against_config(name: str) -> dict[str, Any]:
    """The shipped settings of the policy `name`.

    Raises:
        ConfigError: There is none of that name.
    """
    from omegaconf import OmegaConf

    from apps.config import config_folder
    from nines.errors import nearest

    if name not in POLICIES:
        raise ConfigError(f"against={name}: {nearest(name, POLICIES)}")
    found = OmegaConf.to_container(OmegaConf.load(config_folder() / "policy" / f"{name}.yaml"))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}
