"""`nines sweep`: start or go on with a search over configurations, and look at, copy from, cancel or retry one."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.config import CONFIG_DIR_VARIABLE
from apps.printed_commands import again, printed
from apps.sweep_output import FAILED, SHOWN_TRIALS, conclude, elsewhere, say, terminal
from nines.errors import UserError

if TYPE_CHECKING:
    from apps.sweep_options import SweepRequest
    from sweeps.study import Sweep

ACTIONS = ("run", "status", "report", "best", "cancel", "retry")
RUN_TRIAL = "apps.train:run_trial"
PRELOAD = "apps.train:preload"

EXAMPLES = """
  nines sweep                                    the quick sweep; the same command again goes on with it
  nines sweep sweep=clipping trials=30 workers=4
  nines sweep sweep=dropout model=tiny 'module.optimizer.lr=tag(log, interval(1e-5, 1e-3))'
  nines sweep status sweep=clipping              how far it is
  nines sweep report sweep=clipping              one HTML page and one CSV file
  nines sweep best sweep=clipping --to model     copy the best model for `nines predict` and `nines evaluate`
  nines sweep cancel sweep=clipping              stop its workers; trials save a checkpoint first
  nines sweep retry sweep=clipping               try the failed trials once more
  nines sweep sweep=clipping launcher=slurm trials=64 launcher.partition=gpu    workers as one SLURM array
  nines sweep sweep=clipping launcher=slurm --dry-run                           only print its script"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action, the overrides and the options of single actions."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"{parser.epilog}{EXAMPLES}"
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[run | status | report | best | cancel | retry] [key=value …]",
        help="action (default: run), then keys of the sweep (below) and overrides of `nines train`; "
        "key='choice(a, b)' searches over values",
    )
    parser.add_argument("--to", metavar="FOLDER", help="best: copy there (default: best/ in the sweep's folder)")
    parser.add_argument("--cfg", choices=["job"], help="print what the sweep would be and stop")
    parser.add_argument("--dry-run", action="store_true", help="launcher=slurm: print the batch script and stop")
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
    if arguments.dry_run and action != "run":
        raise UserError("--dry-run belongs to `nines sweep … launcher=slurm`")
    if arguments.cfg is not None:
        return _print_definition(read_request(words))
    actions: dict[str, Callable[[Sweep], int]] = {
        "status": status,
        "report": report,
        "best": lambda sweep: best(sweep, to=arguments.to),
        "cancel": cancel,
        "retry": lambda sweep: retry(sweep, words),
    }
    return actions[action](locate(words)) if action in actions else start(words, dry_run=arguments.dry_run)


def start(words: Sequence[str], *, dry_run: bool = False) -> int:
    """Start the sweep, or go on with it: here to its end and its table, on a cluster until its workers are submitted.

    Args:
        words: Keys of the sweep and overrides of its trials.
        dry_run: Only print the script that would be submitted.

    Returns:
        0 when every trial completed or was pruned or the workers were submitted, 1 when some failed, 130 when stopped.
    """
    from apps.sweep_options import read_request

    quiet_optuna()
    request = read_request(words)
    if request.launcher is not None:
        return _start_on_slurm(request, words, dry_run=dry_run)
    if dry_run:
        raise UserError("--dry-run prints the script of launcher=slurm; `--cfg job` prints what the sweep would be")
    return _start_here(request, words)


def _start_here(request: SweepRequest, words: Sequence[str]) -> int:
    from apps.sweep_checks import open_checked
    from apps.sweep_shape import shape_of_trials
    from sweeps.launch_local import LocalLauncher, LocalOptions
    from sweeps.progress import PlainProgress, TerminalProgress

    console = terminal()
    _, ranks = shape_of_trials(request.definition, None)
    threads = max(request.threads // ranks, 1)
    sweep = open_checked(request)
    if sweep.definition.question:
        console.print(sweep.definition.question, style="bold", highlight=False)
    each = f"{ranks} ranks of {threads} threads each" if ranks > 1 else f"{threads} threads each"
    say(console, f"{sweep.folder}  ({request.workers} at the same time, {each})")
    kind = TerminalProgress if console.is_terminal else PlainProgress
    with kind(sweep.definition, console) as progress:
        options = LocalOptions(RUN_TRIAL, PRELOAD, workers=request.workers, threads=threads, ranks=ranks)
        launcher = LocalLauncher(sweep, options, watcher=progress)
        ended = launcher.run()
    return conclude(sweep, words, console, stopped=launcher.stopped, ended=ended)


def _start_on_slurm(request: SweepRequest, words: Sequence[str], *, dry_run: bool) -> int:
    from apps.submission import require_slurm, warn_of_changes, warn_of_python
    from apps.submission_signals import ended_by_signals
    from apps.sweep_checks import open_checked
    from apps.sweep_slurm import plan_workers, print_script, submit
    from sweeps.records import slots_left

    plan = plan_workers(request, run_trial=RUN_TRIAL)
    if dry_run:
        return print_script(request, plan)
    require_slurm()
    with ended_by_signals() as signals:
        warn_of_changes(plan.options)
        warn_of_python(plan.options)
        sweep, console = open_checked(request), terminal()
        if slots_left(sweep.trials(), sweep.definition) == 0:
            say(console, "every trial is done, so no job was submitted")
            return conclude(sweep, words, console, stopped=False, ended=True)
        if sweep.definition.question:
            console.print(sweep.definition.question, style="bold", highlight=False)
        with signals.handing_over():
            return submit(sweep, plan, words)


def status(sweep: Sweep) -> int:
    """Print how far the sweep is."""
    from slurm.queue import JobState
    from sweeps.cancel import live_workers
    from sweeps.jobs import looking_queue, view_jobs
    from sweeps.progress import Snapshot, trial_line
    from sweeps.report.summary import summary_table

    console = terminal()
    jobs = view_jobs(sweep, looking_queue())
    workers = len(live_workers(sweep))
    workers += sum(view.count(JobState.RUNNING) * view.record.trials_per_task for view in jobs)
    trials = sweep.trials()
    snapshot = Snapshot.of(trials, sweep.definition, workers=workers)
    console.print(sweep.definition.question, style="bold", highlight=False)
    console.print(summary_table(trials, sweep.definition, limit=SHOWN_TRIALS))
    for row in snapshot.rows:
        if row.state == "running":
            say(console, trial_line(row, snapshot.status.get(row.number)))
    for view in jobs:
        if view.alive:
            say(console, view.line())
        # What a worker died of matters while somebody has to do its work.
        if snapshot.finished < snapshot.total and (line := view.failure_line(sweep.folder / "workers")) is not None:
            say(console, line)
    at_work = "1 worker" if workers == 1 else f"{workers} workers"
    say(console, f"{snapshot.headline(sweep.definition)} · {at_work}\n{sweep.folder}{elsewhere(sweep)}")
    nobody = workers == 0 and not any(view.alive for view in jobs)
    if nobody and any(row.state == "interrupted" for row in snapshot.rows):
        say(console, "nobody works on it: the `nines sweep …` that started it goes on with the interrupted trials")
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
    print(f"  measure it             {printed('evaluate', f'classifier={copied.path}')}")
    return 0


def cancel(sweep: Sweep) -> int:
    """Stop the workers of the sweep.

    Returns:
        0 when all have stopped, 1 when some have not yet.
    """
    from sweeps.cancel import cancel as stop_workers
    from sweeps.cancel import live_workers
    from sweeps.jobs import looking_queue, view_jobs
    from sweeps.records import slots_left

    done = slots_left(sweep.trials(), sweep.definition) == 0
    if done and not live_workers(sweep) and not any(view.alive for view in view_jobs(sweep, looking_queue())):
        print(f"every trial of {sweep.name} is done and nothing was running, so nothing was cancelled")
        return 0
    left = stop_workers(sweep, tell=print)
    for claim in left.workers:
        reason = "is still saving" if claim.here() else "stops as soon as it sees the mark in the folder"
        print(f"the worker {claim.pid} on {claim.host} {reason}")
    for view in left.jobs:
        end = f"`scancel {view.record.id}` on the cluster ends them at once"
        print(f"{view.line()}: they stop when they see the mark; {end}")
    if left.problem:
        print(f"SLURM refused: {left.problem}")
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
    print(f"  start them   {again(words)}")
    return 0


def quiet_optuna() -> None:
    """Optuna tells of every trial; this command does that itself."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _print_definition(request: SweepRequest) -> int:
    import yaml

    print(f"# {request.folder}")
    print(yaml.safe_dump(request.definition.as_mapping(), sort_keys=False, width=120, allow_unicode=True), end="")
    return 0
