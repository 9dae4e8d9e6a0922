"""What the filtered policy's sampler gives: accepted completions a second against a plain loop of `model.generate`.

    python -m benchmarks.filtered_generation --rounds 3

The plain loop asks `model.generate(num_return_sequences=n)` for n completions of one prompt after the other, scores
them, and takes the first accepted one; it stops each row at its sentence end, by the same rule. Models, precision,
sampling settings, threshold and prompts are the same. Unless a run folder is given, the classifier is trained briefly;
its threshold is then set where it accepts the wanted share of completions.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from apps.config import compose
from apps.training import train
from benchmarks.paired import Clock, Speed, add_common_arguments, machine, print_ratios, run_rounds, write_figures
from datamodules.completions import LabelledCompletions
from lightning_modules.prediction import Predictor
from nines.models.weights import EMBEDDED_GENERATOR_SOURCE
from nines.policies.causal_model import CausalModel
from nines.policies.completion_in_progress import TextRules
from nines.policies.filtered import FilteredPolicy
from nines.policies.loading import load_for_sampling
from nines.policies.options import SamplingOptions
from nines.policies.sampler import Sampler
from nines.policies.scoring import scorer_of_pairs
from nines.run_folder import RunFolder

OURS = "filtered policy"
MAX_TRIES = 32


class SentenceStop(StoppingCriteria):
    """Ends each row of `model.generate` at its first sentence end."""

    def __init__(self, rules: TextRules, *, start: int) -> None:
        self._rules, self._start = rules, start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.BoolTensor:
        """Which rows are over."""
        rows = input_ids[:, self._start :].tolist()
        over = [self._rules.sentence_end(row, complete=False)[1] is not None for row in rows]
        return torch.tensor(over)  # type: ignore[return-value]


class PlainLoop:
    """The loop that one would write first: `count` completions at a time, prompt after prompt.

    Args:
        model: A model of transformers that nothing was changed about, and its tokenizer.
        predictor: The classifier.
        threshold: Accept below.
        options: Sampling settings.
        count: Completions asked for at once.
    """

    def __init__(
        self, model: CausalModel, predictor: Predictor, *, threshold: float, options: SamplingOptions, count: int
    ) -> None:
        self._model, self._predictor, self._threshold, self._options = model, predictor, threshold, options
        self._rules = TextRules(model.tokenizer, options, end_tokens=model.end_tokens)
        self.count = count

    def deliver(self, prompt: str) -> bool:
        """Whether a completion was accepted within the budget."""
        options, tokenizer = self._options, self._model.tokenizer
        ids = torch.tensor([self._model.tokens_of(prompt, max_new_tokens=options.max_new_tokens)])
        for _ in range(MAX_TRIES // self.count):
            with torch.inference_mode():
                output = self._model.model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=True,
                    temperature=options.temperature,
                    top_p=options.top_p,
                    top_k=0,
                    max_new_tokens=options.max_new_tokens,
                    num_return_sequences=self.count,
                    pad_token_id=tokenizer.pad_token_id,
                    stopping_criteria=StoppingCriteriaList([SentenceStop(self._rules, start=ids.shape[1])]),
                )
            texts = []
            for row in output[:, ids.shape[1] :].tolist():
                text, end = self._rules.sentence_end(row, complete=True)
                texts.append(text[:end].strip())
            if (self._predictor.scores([(prompt, text) for text in texts]) < self._threshold).any():
                return True
        return False


def classifier(folder: Path, *, rows: int) -> Predictor:
    """A classifier trained for one epoch on some rows."""
    overrides = ["trainer.enable_progress_bar=false", "trainer.max_epochs=1", "logger=none", "callbacks=minimal"]
    train(
        compose("train", [*overrides, f"datamodule.limit_rows={rows}", "test=false"]),
        folder=RunFolder(folder),
        overrides=overrides,
    )
    return Predictor.load(folder)


def prompts_of(count: int) -> list[str]:
    """Prompts of the validation split of the embedded data."""
    data = LabelledCompletions(path="embedded:injury", tokenizer="tiny:bert", max_tokens=128)
    data.setup("validate")
    return list(dict.fromkeys(prompt for prompt, _ in data.texts("valid")))[:count]


def main(arguments: list[str] | None = None) -> None:
    """Run the rounds and print speeds and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser, rows=512)
    parser.add_argument("--source", default=EMBEDDED_GENERATOR_SOURCE, help="language model (the embedded SmolLM2)")
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16, of both (auto)")
    parser.add_argument("--classifier", type=Path, help="a run folder; without it one is trained on --rows rows")
    parser.add_argument("--prompts", type=int, default=32, help="prompts of a round (32)")
    parser.add_argument("--acceptance", type=float, default=0.5, help="share of completions to accept (0.5)")
    parser.add_argument("--completions", type=int, nargs="+", default=[2, 4, 8], help="n of the plain loops (2 4 8)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    prompts, sampling = prompts_of(options.prompts), SamplingOptions()
    with tempfile.TemporaryDirectory() as folder:
        predictor = (
            Predictor.load(options.classifier) if options.classifier else classifier(Path(folder), rows=options.rows)
        )
    ours = Sampler(load_for_sampling(options.source, precision=options.precision), sampling, rows=options.batch)
    plain = load_for_sampling(options.source, precision=options.precision)
    plain.model.set_attn_implementation("sdpa")  # as transformers loads it
    drawn = ours.sample(prompts, completions=4, seed=1)  # also warms up
    pairs = [(prompt, attempt.text) for prompt, found in zip(prompts, drawn, strict=True) for attempt in found]
    threshold = float(np.quantile(predictor.scores(pairs), options.acceptance))
    rounds_done = 0

    def filtered() -> Speed:
        nonlocal rounds_done
        rounds_done += 1
        policy = FilteredPolicy(ours, scorer_of_pairs(predictor.scores), threshold=threshold, max_tries=MAX_TRIES)
        clock = Clock()
        clock.start()
        found = policy.generate(prompts, seed=100 + rounds_done)
        clock.stop()
        return clock.speed(sum(not generation.gave_up for generation in found))

    def plain_loop(count: int) -> Speed:
        loop = PlainLoop(plain, predictor, threshold=threshold, options=sampling, count=count)
        clock = Clock()
        clock.start()
        delivered = [loop.deliver(prompt) for prompt in prompts]
        clock.stop()
        return clock.speed(sum(delivered))

    torch.manual_seed(0)
    names = {count: f"plain loop, n={count}" for count in options.completions}
    variants = {OURS: filtered} | {name: partial(plain_loop, count) for count, name in names.items()}
    print(f"{len(prompts)} prompts, {options.threads} threads, threshold {threshold:.3g}, {machine()}")
    rounds = run_rounds(variants, rounds=options.rounds)
    ratios = print_ratios(rounds, {f"against {name}": (OURS, name) for name in names.values()})
    write_figures(options.json, {"ratios": ratios, "speeds": _speeds(rounds), "threshold": threshold})


def _speeds(rounds: Sequence[dict[str, Speed]]) -> list[dict[str, Any]]:
    return [{name: vars(speed) for name, speed in speeds.items()} for speeds in rounds]


if __name__ == "__main__":
    main()
