"""`nines sweep`: start or go on with a search over configurations, and look at, copy from, cancel or retry one."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.config import CONFIG_DIR_VARIABLE
from apps.help import config_help
from nines.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from apps.sweep_options import SweepRequest
    from sweeps.study import Sweep

ACTIONS = ("run", "status", "report", "best", "cancel", "retry")
RUN_TRIAL = "apps.train:run_trial"
PRELOAD = "apps.train:preload"
SHOWN_TRIALS = 40
PIPE_WIDTH = 200
FAILED, INTERRUPTED = 1, 130

EXAMPLES = """
  nines sweep                                    the quick sweep; the same command again goes on with it
  nines sweep sweep=clipping trials=30 workers=4
  nines sweep sweep=dropout model=tiny 'module.optimizer.lr=tag(log, interval(1e-5, 1e-3))'
  nines sweep status sweep=clipping              how far it is
  nines sweep report sweep=clipping              one HTML page and one CSV file
  nines sweep best sweep=clipping --to model     copy the best model for `nines predict` and `nines evaluate`
  nines sweep cancel sweep=clipping              stop its workers; trials save a checkpoint first
  nines sweep retry sweep=clipping               try the failed trials once more"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action, the overrides and the options of single actions."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"{config_help('sweep', command='sweep')}{EXAMPLES}"
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[run | status | report | best | cancel | retry] [key=value …]",
        help="action (default: run), then keys of the sweep (below) and overrides of `nines train`; "
        "key='choice(a, b)' searches over values",
    )
    parser.add_argument("--to", metavar="FOLDER", help="best: copy there (default: best/ in the sweep's folder)")
    parser.add_argument("--cfg", choices=["job"], help="print what the sweep would be and stop")
    parser.add_argument(
        "--config-dir",
        type=Path,
        metavar="DIR",
        help="a folder with config files of your own, such as DIR/sweep/heads.yaml for sweep=heads",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what the first word says."""
    from apps.sweep_options import locate, read_request

    if arguments.config_dir is not None:
        os.environ[CONFIG_DIR_VARIABLE] = str(arguments.config_dir.expanduser().absolute())
    words: list[str] = list(arguments.words)
    action = words.pop(0) if words and words[0] in ACTIONS else "run"
    if arguments.to is not None and action != "best":
        raise UserError("--to belongs to `nines sweep best`")
    if arguments.cfg is not None:
        return _print_definition(read_request(words))
    actions: dict[str, Callable[[Sweep], int]] = {
        "status": status,
        "report": report,
        "best": lambda sweep: best(sweep, to=arguments.to),
        "cancel": cancel,
        "retry": lambda sweep: retry(sweep, words),
    }
    return actions[action](locate(words)) if action in actions else start(words)


def start(words: Sequence[str]) -> int:
    """Start the sweep, or go on with it, and end with its table.

    Returns:
        0 when every trial completed or was pruned, 1 when some failed, 130 when stopped.
    """
    from apps.sweep_checks import check_and_prepare
    from apps.sweep_options import read_request
    from sweeps.launch_local import LocalLauncher, LocalOptions
    from sweeps.progress import PlainProgress, TerminalProgress
    from sweeps.study import create_study

    quiet_optuna()
    request = read_request(words)
    if not (request.folder / "sweep.yaml").exists():
        check_and_prepare(request.definition)
    sweep = create_study(request.folder, request.definition, storage=request.storage)
    console = _console()
    if sweep.definition.question:
        console.print(sweep.definition.question, style="bold", highlight=False)
    console.print(
        f"{sweep.folder}  ({request.workers} at the same time, {request.threads} threads each)",
        highlight=False,
        soft_wrap=True,
    )
    kind = TerminalProgress if console.is_terminal else PlainProgress
    with kind(sweep.definition, console) as progress:
        options = LocalOptions(RUN_TRIAL, PRELOAD, workers=request.workers, threads=request.threads)
        launcher = LocalLauncher(sweep, options, watcher=progress)
        ended = launcher.run()
    return _conclude(sweep, words, console, stopped=launcher.stop_requests > 0, ended=ended)


def status(sweep: Sweep) -> int:
    """Print how far the sweep is."""
    from sweeps.cancel import live_workers
    from sweeps.progress import Snapshot, trial_line
    from sweeps.report.summary import summary_table

    console = _console()
    workers = live_workers(sweep)
    trials = sweep.trials()
    snapshot = Snapshot.of(trials, sweep.definition, workers=len(workers))
    console.print(sweep.definition.question, style="bold", highlight=False)
    console.print(summary_table(trials, sweep.definition, limit=SHOWN_TRIALS))
    for row in snapshot.rows:
        if row.state == "running":
            console.print(trial_line(row, snapshot.status.get(row.number)), highlight=False, soft_wrap=True)
    _say(console, f"{snapshot.headline(sweep.definition)} · {len(workers)} workers\n{sweep.folder}{_elsewhere(sweep)}")
    return 0


def report(sweep: Sweep) -> int:
    """Write the HTML page and the CSV file: into the sweep's folder, or here where its folder is not to be seen."""
    from sweeps.report.write import write_report_files

    folder = sweep.folder if sweep.visible else Path.cwd() / sweep.name
    files = write_report_files(sweep.trials(), sweep.definition, folder=folder)
    print(f"{files.html}\n{files.csv}")
    return 0


def best(sweep: Sweep, *, to: str | None) -> int:
    """Copy the best trial's model to a folder."""
    from sweeps.best import copy_best

    record, copied = copy_best(sweep, Path(to) if to else None)
    print(f"trial {record.number} with {sweep.objective.metric} {record.value:.4f} copied to {copied.path}")
    print(f"  score your own pairs   nines predict {copied.path} pairs.jsonl")
    print(f"  measure it             nines evaluate classifier={copied.path}")
    return 0


def cancel(sweep: Sweep) -> int:
    """Stop the workers of the sweep.

    Returns:
        0 when all have stopped, 1 when some have not yet.
    """
    from sweeps.cancel import cancel as stop_workers

    left = stop_workers(sweep)
    for claim in left:
        reason = "is still saving" if claim.here() else "stops as soon as it sees the mark in the folder"
        print(f"the worker {claim.pid} on {claim.host} {reason}")
    print(f"{sweep.folder} is cancelled; `nines sweep` with the same words goes on with it")
    return FAILED if left else 0


def retry(sweep: Sweep, words: Sequence[str]) -> int:
    """Put the failed trials back into the queue."""
    from sweeps.life_cycle import retry_failed

    quiet_optuna()
    numbers = retry_failed(sweep)
    if not numbers:
        print(f"no trial of {sweep.name} has failed")
        return 0
    print(f"{len(numbers)} failed trials are waiting again: {', '.join(map(str, numbers))}")
    print(f"  start them   {_command(words)}")
    return 0


def quiet_optuna() -> None:
    """Optuna tells of every trial; this command does that itself."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _conclude(sweep: Sweep, words: Sequence[str], console: Console, *, stopped: bool, ended: bool) -> int:
    from sweeps.records import results
    from sweeps.report.summary import summary_table

    trials = sweep.trials()
    rows = results(trials)
    console.print(summary_table(trials, sweep.definition, limit=SHOWN_TRIALS))
    chosen = sweep.best()
    if chosen is not None:
        overrides = sweep.definition.space.overrides(chosen.params)
        _say(console, f"best: trial {chosen.number}, {sweep.objective.metric} {chosen.value:.4f}")
        _say(console, f"  configuration   {shlex.join(overrides)}")
        _say(console, f"  checkpoint      {_checkpoint(chosen.folder)}")
    failed = [row for row in rows if row.state == "failed"]
    for row in failed:
        _say(console, f"trial {row.number} failed: {row.reason} ({row.folder / 'log.txt'})")
    if stopped or not ended:
        unfinished = "stopped" if stopped else "not all workers could go on"
        _say(console, f"{unfinished}; nothing is lost. Go on with:  {_command(words)}")
        return INTERRUPTED if stopped else FAILED
    if failed:
        _say(console, f"try the failed trials once more:  nines sweep retry folder={shlex.quote(str(sweep.folder))}")
    folder = shlex.quote(str(sweep.folder))
    _say(console, f"look further:\n  nines tensorboard {folder}\n  nines sweep report folder={folder}")
    _say(console, f"  nines sweep best folder={folder}")
    return FAILED if failed else 0


def _checkpoint(folder: Path) -> Path:
    from nines.run_folder import RunFolder

    return RunFolder(folder).best


def _elsewhere(sweep: Sweep) -> str:
    return "" if sweep.visible else "  (not to be seen from this machine)"


def _print_definition(request: SweepRequest) -> int:
    import yaml

    print(f"# {request.folder}")
    print(yaml.safe_dump(request.definition.as_mapping(), sort_keys=False, width=120, allow_unicode=True), end="")
    return 0


def _command(words: Sequence[str]) -> str:
    return shlex.join(["nines", "sweep", *words])


def _console() -> Console:
    from rich.console import Console

    console = Console()
    # A log or a pipe has no width; at the 80 columns that rich assumes then, the table would be cut to pieces.
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def _say(console: Console, line: str) -> None:
    # Paths and commands are to be copied, so they are neither wrapped nor coloured.
    console.print(line, highlight=False, soft_wrap=True, markup=False)
