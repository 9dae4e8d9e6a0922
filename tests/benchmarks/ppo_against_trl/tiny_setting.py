"""A setting that a tiny random Llama runs in a second."""

from typing import Any

from benchmarks.ppo_against_trl.__main__ import parser, settings, with_defaults
from benchmarks.ppo_against_trl.setting import Setting


def tiny(*words: str, seed: int = 0, **changes: Any) -> Setting:
    sizes = ["--prompts", "3", "--completions", "2", "--minibatch", "3", "--length", "4", "--epochs", "1"]
    options = with_defaults(parser().parse_args(["--quick", "--iterations", "1", "--warm-up", "1", *sizes, *words]))
    return settings(options, seed=seed)
