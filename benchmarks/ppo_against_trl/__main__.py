"""PPO against the last release of TRL that had a PPOTrainer (1.12): completions sampled and learned from a second.

    python -m benchmarks.ppo_against_trl                  # SmolLM2-135M, three paired rounds
    python -m benchmarks.ppo_against_trl --quick          # a tiny random Llama
    python -m benchmarks.ppo_against_trl --curves ppo.png # learning curves of both on a toy task, over seeds

TRL runs in an environment of its own, which is made once in the cache folder. Both sides get the same weights, prompts,
completions an iteration, lengths, epochs, minibatches, losses, optimizer, precision, threads and reward; either runs in
a fresh process. What cannot be made equal is printed beside the figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from benchmarks.filtered_generation import prompts_of
from benchmarks.paired import Round, Speed, machine, print_ratios, run_rounds, write_figures
from benchmarks.ppo_against_trl.children import Side, run_side, speeds
from benchmarks.ppo_against_trl.curves import draw, summary
from benchmarks.ppo_against_trl.environment import make
from benchmarks.ppo_against_trl.phases import PHASES, WHOLE
from benchmarks.ppo_against_trl.setting import Setting
from nines.errors import ConfigError, NinesError
from nines.models.causal_loading import load_tokenizer
from nines.models.weights import EMBEDDED_GENERATOR_SOURCE, resolve

NAMES: dict[Side, str] = {"ours": "nines", "peer": "TRL 1.12"}
UNEQUAL = (
    "nines reads a prompt once for all its completions, in sampling and in updates; TRL has no notion of siblings and "
    "gets each prompt so many times",
    "nines computes logits of sampled tokens only; TRL of prompts and padding, too",
    "nines computes the log-probabilities of the sampling policy anew, so that the first ratio is exactly 1; TRL takes "
    "those of sampling",
    "nines computes the entropy at sampling time, TRL that of all positions in each update; neither is optimised",
    "the value of one position behind the end enters TRL's value loss; its value head has no bias, ours has one",
    "random numbers: the completions differ, and with them how many tokens there are",
)


def settings(options: argparse.Namespace, *, seed: int) -> Setting:
    """The options as either side takes them.

    Raises:
        ConfigError: They do not go together.
        WeightsError: The model cannot be had.
    """
    folder = resolve(options.source)
    tokenizer = load_tokenizer(folder)
    pad = tokenizer.pad_token_id
    if pad == tokenizer.eos_token_id:  # TRL would not learn where to end
        pad = tokenizer.unk_token_id
    prompts = prompts_of(options.prompts)
    if pad is None or len(prompts) < options.prompts:
        raise ConfigError(f"{options.source} has no token to pad with, or there are not {options.prompts} prompts")
    if options.prompts * options.completions % options.minibatch:
        raise ConfigError("--minibatch must divide --prompts times --completions")
    if options.siblings_together and options.minibatch % options.completions:
        raise ConfigError("--siblings-together needs a --minibatch that is a multiple of --completions")
    return Setting(
        model=str(folder),
        prompts=[prompt.rstrip() for prompt in prompts],
        tokens=[list(map(int, tokenizer(text.rstrip())["input_ids"]))[-options.prompt_tokens :] for text in prompts],
        pad=int(pad),
        completions=options.completions,
        iterations=options.warm_up + options.iterations,
        response_length=options.length,
        epochs=options.epochs,
        minibatch=options.minibatch,
        learning_rate=options.lr,
        precision=options.precision,
        critic=options.critic,
        siblings_together=options.siblings_together,
        kl=options.kl,
        threads=options.threads,
        seed=seed,
    )


def compare_speed(options: argparse.Namespace) -> dict[str, Any]:
    """Paired rounds, their ratios, and what is not equal."""
    setting = settings(options, seed=options.seed)
    phases: list[dict[Side, dict[str, Speed]]] = []
    reports: dict[Side, dict[str, Any]] = {}

    def variant(side: Side) -> Speed:
        found = run_side(side, dataclasses.replace(setting, seed=options.seed + len(phases) // 2))
        reports[side] = found
        phases.append({side: speeds(found["seconds"], batch=setting.batch, warm_up=options.warm_up)})
        return phases[-1][side][WHOLE]

    print(
        f"{len(setting.prompts)} prompts x {setting.completions} completions of at most {setting.response_length} "
        f"tokens, {setting.epochs} epochs, minibatches of {setting.minibatch}, {setting.precision}, "
        f"critic {setting.critic}, siblings {'together' if setting.siblings_together else 'anywhere'}, "
        f"{setting.threads} threads, seeds from {options.seed}, {machine()}"
    )
    run_rounds({NAMES[side]: lambda side=side: variant(side) for side in NAMES}, rounds=options.rounds)  # type: ignore[misc]
    rounds: list[Round] = []
    for first, second in zip(phases[::2], phases[1::2], strict=True):
        both = {**first, **second}
        rounds.append({f"{side}, {phase}": speed for side, found in both.items() for phase, speed in found.items()})
    ratios = print_ratios(rounds, {phase: (f"ours, {phase}", f"peer, {phase}") for phase in PHASES})
    print("\nnot equal, and cannot be made so:\n" + "\n".join(f"  - {line}" for line in UNEQUAL))
    return {
        "ratios": ratios,
        "speeds": [{name: vars(speed) for name, speed in one.items()} for one in rounds],
        "setting": {
            key: value for key, value in dataclasses.asdict(setting).items() if key not in {"prompts", "tokens"}
        },
        "versions": {NAMES[side]: report["versions"] for side, report in reports.items()},
        "not_equal": UNEQUAL,
    }


def compare_learning(options: argparse.Namespace) -> dict[str, Any]:
    """Both sides on the toy task with every seed, drawn into one figure."""
    curves: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES.values()}
    setting = settings(options, seed=options.seed)
    for seed in range(options.seed, options.seed + options.seeds):
        for side, name in NAMES.items():
            found = run_side(side, dataclasses.replace(setting, seed=seed))
            curves[name].append({"seed": seed, "score": found["score"], "kl": found["kl"]})
            print(f"seed {seed}: {name:<9} reward {found['score'][0]:.3f} -> {found['score'][-1]:.3f}", flush=True)
    caption = (
        "The reward is minus the share of words with an e. Lines: mean over "
        f"{options.seeds} seeds, bands: lowest to highest seed.\nLook for a reward that rises while the KL stays small."
    )
    draw(curves, options.curves, batch=setting.batch, caption=caption)
    print(f"\nfirst iteration -> mean of the last five, over seeds (lowest to highest)\n{summary(curves)}")
    print(f"figure: {options.curves}")
    return {
        "curves": curves,
        "batch": setting.batch,
        "kl_coefficient": setting.kl,
        "learning_rate": setting.learning_rate,
    }


def parser() -> argparse.ArgumentParser:
    """The options; those left out depend on what is compared."""
    found = argparse.ArgumentParser(
        prog="python -m benchmarks.ppo_against_trl",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = found.add_argument
    add("--quick", action="store_true", help="a tiny random Llama instead of SmolLM2-135M, and small sizes")
    add("--curves", type=Path, metavar="PNG", help="learning curves on a toy task instead of speeds (a tiny Llama)")
    add("--source", help="the language model: policy, reference, critic (the embedded SmolLM2-135M)")
    add("--prompts", type=int, help="in each iteration (8; 4 quick, 16 curves)")
    add("--completions", type=int, help="of each prompt (4; 8 curves)")
    add("--prompt-tokens", type=int, help="of a longer prompt the end is kept (160; 24 curves)")
    add("--length", type=int, help="tokens of a completion at most (32; 8 quick, 6 curves)")
    add("--epochs", type=int, help="over the completions of an iteration (2; 4 curves)")
    add("--minibatch", type=int, help="completions of an optimizer step (16; 8 quick, 64 curves)")
    add("--iterations", type=int, help="timed, or of a curve (1; 2 quick, 30 curves)")
    add("--warm-up", type=int, help="iterations before the timed ones (1; 0 curves)")
    add("--lr", type=float, help="constant learning rate (1e-5; 3e-3 curves)")
    add("--kl", type=float, help="coefficient of the penalty (0.05; 0.02 curves)")
    add("--rounds", type=int, default=3, help="paired runs; the median ratio is printed (3)")
    add("--seed", type=int, default=0, help="of the first round or curve; the next ones count up (0)")
    add("--seeds", type=int, default=3, help="curves of each side (3)")
    add("--threads", type=int, default=1, help="of torch (1)")
    add(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="of both; TRL samples in fp32 all the same (fp32)"
    )
    add("--critic", choices=("separate", "shared"), default="separate", help="of ours; TRL has separate ones only")
    add(
        "--siblings-together",
        action="store_true",
        help="ours keeps the completions of a prompt in one minibatch, which TRL cannot; sizes stay equal",
    )
    add("--json", type=Path, help="also write all figures here")
    return found


SIZES: dict[str, tuple[Any, Any, Any]] = {
    "source": (EMBEDDED_GENERATOR_SOURCE, "tiny:llama", "tiny:llama"),
    "prompts": (8, 4, 16),
    "completions": (4, 4, 8),
    "prompt_tokens": (160, 160, 24),
    "length": (32, 8, 6),
    "epochs": (2, 2, 4),
    "minibatch": (16, 8, 64),
    "iterations": (1, 2, 30),
    "warm_up": (1, 1, 0),
    "lr": (1e-5, 1e-5, 3e-3),
    "kl": (0.05, 0.05, 0.02),
}
"""Defaults of each option: in full, quick, for curves."""


def with_defaults(options: argparse.Namespace) -> argparse.Namespace:
    """The same options, with those that were left out set to what suits the comparison."""
    for name, values in SIZES.items():
        if getattr(options, name) is None:
            setattr(options, name, values[2 if options.curves else 1 if options.quick else 0])
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and write; 2 for a user's mistake, with one line that says what it is."""
    options = with_defaults(parser().parse_args(arguments))
    try:
        settings(options, seed=options.seed)  # a mistake shows before the environment is made
        make()
        figures = compare_learning(options) if options.curves else compare_speed(options)
    except NinesError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    write_figures(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
