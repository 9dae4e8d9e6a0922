"""What both `nines train` and `nines sweep` check before they submit a job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from apps.checkout import Checkout, check_clean
from nines.errors import SchedulerError
from slurm.commands import available

if TYPE_CHECKING:
    from slurm.options import SlurmOptions


def require_slurm() -> None:
    """Say that this machine cannot submit, before anything is prepared or written.

    Raises:
        SchedulerError: SLURM's commands are not on the PATH.
    """
    if not available():
        raise SchedulerError(
            "launcher=slurm: sbatch and squeue are not on the PATH; submit from a machine of the cluster, or see the "
            "script with --dry-run"
        )


def warn_of_changes(options: SlurmOptions) -> None:
    """One line on standard error when the code that will run is not committed.

    Raises:
        ConfigError: `launcher.require_clean` is set, and it is not.
    """
    warning = check_clean(Checkout.holding(Path(__file__)), required=options.require_clean)
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
