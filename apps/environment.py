"""What a run depended on besides its configuration: commit and what differs from it, versions, machine, scheduler."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from apps.checkout import Checkout
from apps.redaction import redacted_difference
from nines.files import read_json, write_json, write_text
from nines.run_folder import RunFolder

RECORDED_PACKAGES = (
    "nines-lab",
    "torch",
    "lightning",
    "transformers",
    "tokenizers",
    "torchmetrics",
    "deepspeed",
    "optuna",
    "hydra-core",
    "omegaconf",
    "datasets",
    "numpy",
    "scipy",
)
DIFFERENCE = "environment.diff"
# SLURM_JWT lets its holder act as the user; a site may add variables of its own.
SECRET_NAME = re.compile(r"JWT|TOKEN|PASS|SECRET|KEY|CREDENTIAL|AUTH", re.IGNORECASE)
# user:password@ of an address
SECRET_VALUE = re.compile(r"://[^/\s]*:[^/\s]*@|password", re.IGNORECASE)


def record_environment(folder: RunFolder, *, seed: int, threads: int) -> None:
    """Write `environment.json`, and `environment.diff` when the checkout differs from its commit, into `folder`.

    The file says what the newest attempt runs with. A run that goes on keeps there, under `former`, what its attempts
    before ran with, oldest first; one that runs as before (the same job, restarted, too) adds none.
    The difference holds new code too, and no passwords; what was too large is named at its end.
    """
    checkout = Checkout.holding(Path(__file__))
    found = describe_environment(seed=seed, threads=threads, checkout=checkout)
    write_json(folder.environment, {**found, "former": _former(folder, found)})
    difference = folder.path / DIFFERENCE
    if checkout.dirty:
        left_out = "".join(f"(left out: {name}, new and large)\n" for name in checkout.left_out)
        write_text(difference, redacted_difference(checkout.difference + checkout.additions) + left_out)
    else:
        difference.unlink(missing_ok=True)


def _former(folder: RunFolder, now: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not (folder.last.exists() and folder.environment.exists()):  # without a checkpoint nothing of before is used
        return []
    before = read_json(folder.environment)
    former: list[dict[str, Any]] = before.pop("former", [])
    return former if _lasting(before) == _lasting(now) else [*former, before]


def _lasting(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What does not change from one start of a job to its next."""
    return {key: value for key, value in environment.items() if key != "slurm"}


def describe_environment(*, seed: int, threads: int, checkout: Checkout | None = None) -> dict[str, Any]:
    """Commit and cleanliness of the checkout that the code came from, versions, platform, scheduler, seed and threads.

    Args:
        seed: Seed of the run.
        threads: CPU threads of torch.
        checkout: The checkout; that of this file when not given.
    """
    checkout = Checkout.holding(Path(__file__)) if checkout is None else checkout
    return {
        "seed": seed,
        "threads": threads,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in RECORDED_PACKAGES},
        "commit": checkout.commit,
        "uncommitted_changes": None if checkout.commit is None else bool(checkout.difference),
        "untracked_code": list(checkout.untracked),
        "slurm": slurm_variables(os.environ),
    }


def slurm_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that SLURM set for this process, without any that may hold a secret; {} outside a job."""
    if "SLURM_JOB_ID" not in environment:
        return {}
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith("SLURM_") and not SECRET_NAME.search(name) and not SECRET_VALUE.search(value)
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
