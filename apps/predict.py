"""`nines predict`: scores a JSON Lines file of prompt and completion pairs, in order, as a stream."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from nines.errors import DataError, UserError
from nines.files import replacing

COMBINATIONS = ("mean", "logit_mean", "max", "quantile")
"""Those of `nines.statistics.ensembles`, without numpy for the help."""

EXAMPLES = """examples:
  nines predict runs/sweep/quick-1a2b3c4d/best pairs.jsonl --output scores.jsonl
  nines predict runs/train/classifier-5e6f7a8b - < pairs.jsonl | sort
  nines predict RUN pairs.jsonl --with OTHER_RUN --with THIRD_RUN --combine max --threshold 0.2

Each line of the input is a JSON object with `prompt` and `completion`; each line of the output repeats it with
`score`, P(injurious), and `accepted`, whether the score lies below the model's threshold. After `nines calibrate`
`probability` is the score made well calibrated; it decides nothing. Several models give `scores` of each beside the
combined `score`, and `knowledge_uncertainty`, what they disagree about in nats; their own thresholds do not hold for
the combined score, so `accepted` needs --threshold then."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, input and output."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", type=Path, help="a run folder, the folder of `nines sweep best`, or a .ckpt file")
    parser.add_argument("input", help="a JSON Lines file, or - for standard input")
    parser.add_argument(
        "--with",
        type=Path,
        action="append",
        default=[],
        dest="others",
        metavar="MODEL",
        help="another model; repeatable",
    )
    parser.add_argument(
        "--combine", choices=COMBINATIONS, default="mean", help="several models' scores into one (mean)"
    )
    parser.add_argument(
        "--quantile", type=float, default=0.75, metavar="Q", help="over the models, for --combine quantile (0.75)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write; standard output by default")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="pairs in one forward pass (64)")
    parser.add_argument("--threshold", type=float, metavar="T", help="accept below T instead of the model's threshold")
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="torch device, such as cuda (default: cpu)")


def run(arguments: argparse.Namespace) -> int:
    """Score every row; a malformed one stops with its line number and leaves no output file."""
    _check_options(arguments)
    source = arguments.input
    if source != "-" and not Path(source).is_file():
        raise UserError(f"no input file {source}; give a JSON Lines file, or - for standard input")
    predictor = _load(arguments)
    threshold = predictor.threshold if arguments.threshold is None else arguments.threshold
    with ExitStack() as stack:
        lines = sys.stdin.buffer if source == "-" else stack.enter_context(Path(source).open("rb"))
        if arguments.output is None:
            _score(predictor, lines, sys.stdout, name=source, threshold=threshold)
        else:
            with replacing(arguments.output) as temporary, temporary.open("w", encoding="utf-8") as out:
                _score(predictor, lines, out, name=source, threshold=threshold)
    return 0


class _Single:
    """One model: scores, and what else it says of a row."""

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor
        self.threshold: float | None = predictor.threshold

    def rows(self, pairs: list[tuple[str, str]], names: list[str]) -> Iterator[dict[str, Any]]:
        """What each pair's line gets, in order."""
        for score in self.predictor.scores(pairs, names=names).tolist():
            row = {"score": score}
            if self.predictor.calibration is not None:
                row["probability"] = float(self.predictor.calibration.apply(score))
            yield row


class _Several:
    """Several models together."""

    threshold: float | None = None

    def __init__(self, ensemble: Any) -> None:
        self.ensemble = ensemble

    def rows(self, pairs: list[tuple[str, str]], names: list[str]) -> Iterator[dict[str, Any]]:
        """What each pair's line gets, in order."""
        members = self.ensemble.member_scores(pairs, names=names)
        together, unknown = self.ensemble.combined(members), self.ensemble.knowledge_uncertainty(members)
        for score, disagreement, own in zip(together.tolist(), unknown.tolist(), members.T.tolist(), strict=True):
            yield {"score": score, "knowledge_uncertainty": disagreement, "scores": own}


def _load(arguments: argparse.Namespace) -> _Single | _Several:
    from lightning_modules.prediction import Predictor

    members = [
        Predictor.load(path, device=arguments.device, batch_size=arguments.batch_size)
        for path in (arguments.model, *arguments.others)
    ]
    if len(members) == 1:
        return _Single(members[0])
    from lightning_modules.ensemble_prediction import EnsemblePredictor

    return _Several(EnsemblePredictor(members, combination=arguments.combine, quantile=arguments.quantile))


def _check_options(arguments: argparse.Namespace) -> None:
    threshold: float | None = arguments.threshold
    # A comparison with nan is false, so nan is refused, too.
    if threshold is not None and not 0 <= threshold <= 1:
        raise UserError(f"--threshold {threshold}: scores are probabilities, so it lies between 0 and 1")
    if not 0 <= arguments.quantile <= 1:
        raise UserError(f"--quantile {arguments.quantile}: it lies between 0 and 1")
    if arguments.batch_size < 1:
        raise UserError(f"--batch-size {arguments.batch_size}: at least 1 pair")
    output: Path | None = arguments.output
    if output is not None and output.exists() and not output.is_file():
        raise UserError(f"--output {output} is no file; leave --output out and redirect standard output there")


def _score(
    predictor: _Single | _Several, lines: Iterable[bytes], out: IO[str], *, name: str, threshold: float | None
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lightning_modules.prediction import windows

    total = None if name == "-" else _count_rows(Path(name))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("scoring", total=total)
        for chunk in windows(read_pairs(lines, name=name), 512):
            pairs = [(row["prompt"], row["completion"]) for _, row in chunk]
            for (_, row), found in zip(chunk, predictor.rows(pairs, [where for where, _ in chunk]), strict=True):
                scored = {**row, **found}
                if threshold is not None:
                    scored["accepted"] = scored["score"] < threshold
                out.write(json.dumps(scored, ensure_ascii=False) + "\n")
            out.flush()
            progress.advance(task, len(chunk))


def _count_rows(path: Path) -> int:
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def read_pairs(lines: Iterable[bytes], *, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with a prompt and a completion, both text, each after its file and line; blank lines are skipped.

    Raises:
        DataError: A line that is no such row, with its number.
    """
    for number, line in enumerate(lines, start=1):
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: not UTF-8 (byte {error.start + 1})") from error
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: no JSON object ({error.msg}, column {error.colno})") from error
        for field in ("prompt", "completion"):
            if not isinstance(row, dict) or not isinstance(row.get(field), str):
                raise DataError(f"{where}: field {field!r} must be text")
        yield where, row
