"""What `nines sweep` prints: the end of a sweep, what still runs, and the commands to go on with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.printed_commands import again, printed

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.study import Sweep

SHOWN_TRIALS = 40
PIPE_WIDTH = 200
FAILED, INTERRUPTED = 1, 130


def conclude(sweep: Sweep, words: Sequence[str], console: Console, *, stopped: bool, ended: bool) -> int:
    """Print the table of a sweep whose workers have ended, what failed, and how to go on; return the exit code.

    Args:
        sweep: The open sweep.
        words: The command that started it.
        console: Where to print.
        stopped: The user stopped it.
        ended: It ran to its end.
    """
    from sweeps.records import results
    from sweeps.report.summary import summary_table

    trials = sweep.trials()
    rows = results(trials)
    console.print(summary_table(trials, sweep.definition, limit=SHOWN_TRIALS))
    chosen = sweep.best()
    if chosen is not None:
        overrides = sweep.definition.space.overrides(chosen.params)
        say(console, f"best: trial {chosen.number}, {sweep.objective.metric} {chosen.value:.4f}")
        say(console, f"  configuration   {shlex.join(overrides)}")
        say(console, f"  checkpoint      {_checkpoint(chosen.folder)}")
    failed = [row for row in rows if row.state == "failed"]
    for row in failed:
        say(console, f"trial {row.number} failed: {row.reason} ({row.folder / 'log.txt'})")
    if stopped or not ended:
        unfinished = "stopped" if stopped else "not all workers could go on"
        say(console, f"{unfinished}; nothing is lost. Go on with:  {again(words)}")
        return INTERRUPTED if stopped else FAILED
    folder = f"folder={sweep.folder}"
    if failed:
        say(console, f"try the failed trials once more:  {printed('sweep', 'retry', folder)}")
    say(console, f"look further:\n  nines tensorboard {shlex.quote(str(sweep.folder))}")
    say(console, f"  {printed('sweep', 'report', folder)}\n  {printed('sweep', 'best', folder)}")
    return FAILED if failed else 0


def _checkpoint(folder: Path) -> Path:
    from nines.run_folder import RunFolder

    return RunFolder(folder).best


def elsewhere(sweep: Sweep) -> str:
    """What to add to the folder of a sweep that lies on another machine."""
    return "" if sweep.visible else "  (not to be seen from this machine)"


def terminal() -> Console:
    """The console to print on, wide enough where it is no terminal."""
    from rich.console import Console

    console = Console()
    # A log or a pipe has no width; at the 80 columns that rich assumes then, the table would be cut to pieces.
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def say(console: Console, line: str) -> None:
    """Print a line as it is: paths and commands are to be copied, so they are neither wrapped nor coloured."""
    console.print(line, highlight=False, soft_wrap=True, markup=False)
