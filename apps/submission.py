"""What both `nines train` and `nines sweep` check before they submit a job."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.checkout import Checkout, check_clean
from apps.submission_signals import end_quietly
from nines.errors import UserError
from slurm.commands import available
from slurm.queue import JobState, Queue
from slurm.rejections import never_starts, no_node_has

if TYPE_CHECKING:
    from slurm.options import SlurmOptions

# How long a submission waits to be told why its job waits.
REASON_SECONDS = 2.0


def require_slurm() -> None:
    """Say that this machine cannot submit, before anything is prepared or written.

    Raises:
        UserError: SLURM's commands are not on the PATH.
    """
    if not available():
        raise UserError(
            "launcher=slurm: sbatch and squeue are not on the PATH; submit from a machine of the cluster, or see the "
            "script with --dry-run"
        )


def check_and_prepare(overrides: Sequence[str], *, config_dir: Path | None) -> None:
    """Check one run's configuration against the classes that it names, fetch its weights and tokenise its data.

    In a process of its own: one that has imported torch takes seconds to end, and the user waits for the job's id.

    Raises:
        ConfigError: It does not compose, or does not fit the classes.
        WeightsError, DataError, StorageError: What it needs cannot be made.
    """
    with multiprocessing.get_context("fork").Pool(1, initializer=end_quietly) as pool:
        pool.apply(_check_and_prepare, (overrides, config_dir))


def _check_and_prepare(overrides: Sequence[str], config_dir: Path | None) -> None:
    from apps.config import compose
    from apps.preparation import prepare_run
    from apps.training import resolve_precision
    from apps.validation import validate

    config = compose("train", overrides, config_dir=config_dir)
    resolve_precision(config)
    validate(config)
    # The outputs of frozen layers are left to the run: this may be a machine where nobody is to compute.
    prepare_run(config, trunk=False)


def warn_of_python(options: SlurmOptions) -> None:
    """One line on standard error when the job's interpreter is not here; the nodes may have it all the same."""
    if options.python is not None and Path(options.python).is_absolute() and not Path(options.python).exists():
        print(
            f"warning: launcher.python = {options.python} does not exist on this machine; where the nodes lack it, "
            "too, the job fails at once",
            file=sys.stderr,
        )


def warn_of_waiting(job: str, script: str, *, queue: Queue | None = None) -> None:
    """One line on standard error when SLURM took a job that it can never start as it is.

    Args:
        job: Its id.
        script: What was submitted.
        queue: The scheduler.
    """
    queue = Queue.asking_once() if queue is None else queue
    end = time.monotonic() + REASON_SECONDS
    # SLURM gives a reason only once it has tried to start the job.
    while (found := queue.look([job])[job]).state is JobState.PENDING and not found.reason:
        if time.monotonic() >= end:
            return
        time.sleep(REASON_SECONDS / 5)
    if found.state is JobState.PENDING and never_starts(found.reason):
        print(
            f"warning: job {job} waits, and may do so for ever ({found.reason}): {no_node_has(script, queue.runner)}; "
            f"`scancel {job}` withdraws it",
            file=sys.stderr,
        )


def warn_of_changes(options: SlurmOptions) -> None:
    """One line on standard error when the code that will run is not committed.

    Raises:
        ConfigError: `launcher.require_clean` is set, and it is not.
    """
    warning = check_clean(Checkout.holding(Path(__file__)), required=options.require_clean)
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
