"""The commands of `nines`, each with the sentence that `nines --help` says of it; light, since every call reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Command:
    """A command and the sentence that `nines --help` says of it.

    Attributes:
        summary: One line, an imperative.
        config_root: The file of conf/ (without `.yaml`) that the command composes; None when it composes none, or
            reads its overrides in its own way.
        shown_root: The file whose groups and values the help tells of where `config_root` is None; None for none.
        roots_by_key: Other root files, by the key that asks for one: `policy=…` makes an evaluation one of policies.
    """

    summary: str
    config_root: str | None = None
    shown_root: str | None = None
    roots_by_key: Mapping[str, str] = field(default_factory=dict)

    def root_for(self, words: Sequence[str]) -> str | None:
        """The root file that the words of a command line ask for."""
        given = {word.partition("=")[0] for word in words if "=" in word}
        return next((root for key, root in self.roots_by_key.items() if key in given), self.config_root)


COMMANDS = {
    "train": Command("train one run, or go on with it where it stopped", config_root="train"),
    "sweep": Command(
        "search over configurations: start, go on, status, report, best, cancel, retry", shown_root="sweep"
    ),
    "report": Command("compare the runs of a sweep: table, plots, and sentences that the intervals support"),
    "evaluate": Command(
        "measure a classifier on labelled data, or two policies on the same prompts, with intervals",
        config_root="evaluate",
        roots_by_key={"policy": "evaluate_policy", "against": "evaluate_policy"},
    ),
    "calibrate": Command("choose the threshold by a rule that states its guarantee", config_root="calibrate"),
    "generate": Command("continue prompts by a policy: base, filtered, best of n, distilled", config_root="generate"),
    "demo": Command(
        "go from labels to a distilled generator, and compare it with base and filtered", config_root="demo"
    ),
    "quality": Command("compare a filtered policy with the unfiltered by judged pairs: plan, judge, estimate, power"),
    "predict": Command("score prompt and completion pairs from a JSON Lines file"),
    "label": Command("choose which completions to label, and make a failure rate of the answers"),
    "checkpoint": Command("say what a checkpoint is; make one file of its shards, or shards for other ranks"),
    "data": Command("check a data set: problems, counts, balance, duplicates, leaks"),
    "weights": Command("fetch model weights ahead of time, and list them"),
    "tensorboard": Command("start TensorBoard on the runs of a folder or a sweep"),
    "dashboard": Command("open Optuna's pages about a sweep, or about all of a storage, in the browser"),
    "doctor": Command("print versions, devices, caches, what is missing and how to get it"),
    "completion": Command("print the line that switches tab completion on in your shell"),
}
