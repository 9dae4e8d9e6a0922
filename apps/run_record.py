"""What a run folder says of its run at its start and at its end; the first of the ranks writes it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from apps.environment import record_environment
from nines.files import read_json, write_json, write_text
from nines.run_folder import RunFolder, RunStatus, State
from nines.run_owner import ensure_owned

CLOSING_SECONDS = 5.0


def former_texts(folder: RunFolder) -> dict[Path, str]:
    """What a folder to be resumed says of its run; nothing for a new one."""
    if not folder.last.exists():
        return {}
    return {path: path.read_text(encoding="utf-8") for path in (folder.config, folder.overrides) if path.exists()}


@rank_zero_only
def put_back(texts: Mapping[Path, str]) -> None:
    """Undo `describe_run` where it was wrong to write: give `former_texts` back.

    Raises:
        Superseded: Other processes took the folder over.
    """
    for path, text in texts.items():
        ensure_owned(path.parent)
        write_text(path, text)


@rank_zero_only
def describe_run(config: DictConfig, folder: RunFolder, overrides: Sequence[str]) -> None:
    """Write what the run is, before anything of it happens.

    Raises:
        Superseded: Other processes took the folder over.
    """
    ensure_owned(folder.path)
    write_text(folder.config, OmegaConf.to_yaml(config, resolve=True))
    write_text(folder.overrides, OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
    record_environment(folder, seed=config.seed, threads=torch.get_num_threads())
    former = RunStatus.read(folder) if folder.last.exists() else None
    (former or RunStatus(state="starting")).continued(state="starting", seconds_left=None, message="").write(folder)


def add_metrics(folder: RunFolder, figures: Mapping[str, float]) -> None:
    """Add `figures` to what callbacks wrote into metrics.json.

    Raises:
        Superseded: Other processes took the folder over.
    """
    ensure_owned(folder.path)
    written = read_json(folder.metrics) if folder.metrics.exists() else {}
    metrics = {**written.get("metrics", {}), **figures}
    write_json(folder.metrics, {**written, "metrics": dict(sorted(metrics.items()))})


@rank_zero_only
def close_run(folder: RunFolder, state: State, message: str) -> None:
    """Write the final state, keeping the step and objective of the last status."""
    last = RunStatus.read(folder) or RunStatus(state="starting")
    last.continued(state=state, message=message, seconds_left=None).write(folder)


def let_first_rank_close(folder: RunFolder) -> None:
    """Wait for the first rank to write how the run ended: whoever started the ranks kills it when another one fails."""
    until = time.monotonic() + CLOSING_SECONDS
    while time.monotonic() < until:
        status = RunStatus.read(folder)
        if status is not None and status.state not in ("starting", "running"):
            return
        time.sleep(0.05)
