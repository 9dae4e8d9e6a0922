"""`nines generate`: continues prompts by a policy, and shows every attempt that it made."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.config import compose
from nines.errors import DataError, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from apps.generation_output import Transcript
    from nines.policies.attempts import Generation, Policy
    from nines.policies.sampler import Sampler

PROMPT_FILES = (".jsonl", ".json", ".txt")
# What changes no completion in float32, and may differ between two parts of one file.
NOT_IDENTITY = ("prompts", "rows", "device", "threads")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Prompts on the command line, the file to write, and the dialogue."""
    parser.add_argument(
        "--prompt", action="append", default=[], metavar="TEXT", help="a prompt, as it is; may be given several times"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write JSON Lines here; prompts that are there already are skipped"
    )
    parser.add_argument("--interactive", action="store_true", help="keep asking for prompts, until an empty line")


def run(arguments: argparse.Namespace) -> int:
    """Generate, print, and write."""
    from apps.generation_output import Transcript, show
    from apps.validation import validate

    config = compose("generate", arguments.overrides, config_dir=arguments.config_dir)
    validate(config, root="generate")
    _check(config)
    prompts = [*read_prompts(config.prompts), *arguments.prompt]
    if not prompts and not arguments.interactive:
        raise UserError("there is nothing to continue; give prompts=FILE, --prompt TEXT, or --interactive")
    transcript = Transcript.open(arguments.output, settings=settings_of(config)) if arguments.output else None
    places = list(range(len(prompts)))
    if transcript is not None:
        places = transcript.missing(prompts)
        if skipped := len(prompts) - len(places):
            print(f"{skipped} of {len(prompts)} prompts are in {arguments.output} already", file=sys.stderr)
    if not places and not arguments.interactive:
        return 0
    sampler, policy = build_policy(config)

    def report(number: int, generation: Generation) -> None:
        show(generation)
        if transcript is not None:
            transcript.append(number, generation)

    started = time.perf_counter()
    texts = [prompts[place] for place in places]
    found = policy.generate(
        texts, seed=config.seed, numbers=places, report=lambda place, generation: report(places[place], generation)
    )
    if found:
        print(summary(found, sampler, seconds=time.perf_counter() - started), file=sys.stderr)
    if arguments.interactive:
        first = max(len(prompts), transcript.next_number if transcript else 0)
        _converse(policy, seed=config.seed, first=first, transcript=transcript)
    return 0


def build_policy(config: DictConfig) -> tuple[Sampler, Policy]:
    """The sampler and the policy that a configuration of `generate` describes.

    Raises:
        UserError: A model is missing that the policy needs, or cannot be loaded.
    """
    import torch
    from hydra.utils import instantiate

    from nines.policies.loading import load_for_sampling
    from nines.policies.sampler import Sampler
    from nines.policies.scoring import scorer_of_pairs

    if config.threads:
        torch.set_num_threads(config.threads)
    scorers: tuple[Any, ...] = ()
    more: dict[str, Any] = {}
    kind = _kind(config)
    if kind == "FilteredPolicy":
        from lightning_modules.prediction import Predictor

        predictor = Predictor.load(config.classifier, device=config.device)
        threshold = predictor.threshold if config.threshold is None else config.threshold
        if threshold is None:
            raise UserError(f"classifier={config.classifier} has no threshold of its own; give threshold=...")
        scorers, more = (scorer_of_pairs(predictor.scores),), {"threshold": threshold}
    elif kind == "BestOfN":
        from lightning_modules.reward_scorer import RewardScorer

        scorers = (RewardScorer.load(config.reward_model, device=config.device),)
    model = load_for_sampling(
        config.source, precision=config.precision, device=config.device, max_prompt_tokens=config.max_prompt_tokens
    )
    sampler = Sampler(model, instantiate(config.sampling), rows=config.rows)
    policy: Policy = instantiate(config.policy)(sampler, *scorers, **more)
    return sampler, policy


def _kind(config: DictConfig) -> str:
    return str(config.policy._target_).rpartition(".")[2]


def _check(config: DictConfig) -> None:
    """Say what the policy lacks before models are loaded, and what it would silently leave unused."""
    kind = _kind(config)
    needs = {"FilteredPolicy": "classifier", "BestOfN": "reward_model"}
    if kind in needs and config[needs[kind]] is None:
        raise UserError(f"this policy needs {needs[kind]}=<run folder>, such as one below runs/train")
    if kind != "FilteredPolicy" and (config.classifier is not None or config.threshold is not None):
        raise UserError("classifier and threshold are for policy=filtered; this policy does not use them")
    if kind != "BestOfN" and config.reward_model is not None:
        raise UserError("reward_model is for policy=best_of_n; this policy does not use it")
    if kind == "DistilledPolicy" and not str(config.source).startswith(("path:", "hub:", "tiny:")):
        raise UserError("policy=distilled needs the distilled model: source=path:<its exported folder>")


def settings_of(config: DictConfig) -> dict[str, Any]:
    """All that decides on the completions."""
    from apps.config import flatten

    values = flatten(config)
    return {key: value for key, value in values.items() if key not in NOT_IDENTITY}


def read_prompts(given: str | None) -> list[str]:
    """The prompts of a file, or the text itself where there is no such file.

    Raises:
        UserError: It looks like a file, but there is none.
        DataError: A line of the file has no prompt.
    """
    if given is None:
        return []
    path = Path(given)
    # A text may be longer than a file name may be.
    if len(given) > 1000 or not path.is_file():
        if path.suffix in PROMPT_FILES or path.is_dir():
            raise UserError(f"prompts={given}: there is no such file")
        return [given]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start + 1})") from error
    if path.suffix in {".jsonl", ".json"}:
        return list(_prompts_of_rows(lines, path))
    return [line.strip() for line in lines if line.strip()]


def _prompts_of_rows(lines: Sequence[str], path: Path) -> Iterator[str]:
    """Each prompt once: files of completions have a row for each of them."""
    seen = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}: no JSON object ({error.msg})") from error
        prompt = row.get("prompt") if isinstance(row, dict) else None
        if not isinstance(prompt, str) or not prompt.strip():
            raise DataError(f"{path}, line {number}: field 'prompt' must be text")
        if prompt not in seen:
            seen.add(prompt)
            yield prompt


def _converse(policy: Policy, *, seed: int, first: int, transcript: Transcript | None) -> None:
    """Ask for prompts; each gets a number of its own, so the same one again gets another completion."""
    from apps.generation_output import show

    number = first
    while True:
        try:
            # The question goes to stderr, so that what is piped on holds answers only.
            print("prompt> ", end="", file=sys.stderr, flush=True)
            prompt = input()
        except EOFError:
            return
        if not prompt.strip():
            return
        try:
            (generation,) = policy.generate([prompt], seed=seed, numbers=[number])
        except UserError as error:  # such as a prompt that is too long: the next may be better
            print(f"nines: {error}", file=sys.stderr)
            continue
        show(generation)
        if transcript is not None:
            transcript.append(number, generation)
        number += 1


def summary(found: Sequence[Generation], sampler: Sampler, *, seconds: float) -> str:
    """One line: what was delivered, and what it took."""
    delivered = sum(generation.chosen is not None for generation in found)
    gave_up = sum(generation.gave_up for generation in found)
    tries = sum(generation.tries for generation in found) / len(found)
    work = sampler.work
    line = (
        f"{delivered} of {len(found)} prompts continued in {seconds:.1f} s ({delivered / seconds:.2f}/s), "
        f"{tries:.2f} tries and {work.drawn_tokens / len(found):.0f} drawn tokens a prompt"
    )
    return f"{line}; gave up on {gave_up} (fallback: {found_fallback(found)})" if gave_up else line


def found_fallback(found: Sequence[Generation]) -> str:
    """The fallback of those that gave up."""
    return next((generation.fallback for generation in found if generation.fallback), "none")
