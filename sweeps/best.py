"""Copies the best trial of a sweep to a folder that prediction and evaluation take."""

from __future__ import annotations

import shutil
from pathlib import Path

from nines.checkpoint_folder import consolidated_file, is_sharded, read_manifest
from nines.errors import SweepError
from nines.files import replacing, write_json
from nines.run_folder import RunFolder
from sweeps.study import Sweep
from sweeps.trial import TrialRecord


def copy_best(sweep: Sweep, target: Path | None = None) -> tuple[TrialRecord, RunFolder]:
    """Copy checkpoint, configuration, threshold and figures of the best trial.

    Args:
        sweep: The open sweep.
        target: Folder to copy to; `best` in the sweep's folder when not given. Files of an earlier best are replaced.

    Returns:
        The best trial, and the folder as a run folder.

    Raises:
        SweepError: No trial has completed, or the best one's folder lacks its checkpoint or configuration.
    """
    best = sweep.best()
    if best is None:
        raise SweepError(f"no trial of {sweep.name} has completed; `nines sweep status` shows how far they are")
    if not sweep.visible:
        raise SweepError(
            f"trial {best.number} is the best with {best.value}, but its model lies in {best.folder}, which this "
            "machine does not see; copy it where it does"
        )
    source = RunFolder(best.folder)
    copied = RunFolder((target or sweep.folder / "best").absolute())
    if copied.path == source.path:
        raise SweepError(f"{copied.path} is the trial's own folder; choose another one")
    for needed in (source.best, source.config):
        if not needed.exists():
            raise SweepError(f"{needed} is missing, so trial {best.number} cannot be copied; was its folder cleaned?")
    pairs = [(_one_file(source), copied.best), (source.config, copied.config)]
    optional = ("overrides", "threshold", "metrics", "environment")
    for name in optional:
        file: Path = getattr(source, name)
        if file.exists():
            pairs.append((file, getattr(copied, name)))
        else:
            # A threshold of an earlier best must not be applied to this model.
            getattr(copied, name).unlink(missing_ok=True)
    for file, destination in pairs:
        with replacing(destination) as temporary:
            shutil.copyfile(file, temporary)
    origin = {"sweep": sweep.name, "trial": best.number, "value": best.value, "params": best.params}
    write_json(copied.path / "trial.json", origin)
    return best, copied


def _one_file(source: RunFolder) -> Path:
    """The trial's best checkpoint as one file.

    Raises:
        SweepError: Its ranks wrote shards, and nobody has made one file of them; with the command that does.
    """
    if not is_sharded(source.best):
        return source.best
    file = consolidated_file(source.best, read_manifest(source.best))
    if not file.is_file():
        raise SweepError(
            f"{source.best} is in shards; make one file of it, then ask again: nines checkpoint consolidate "
            f"{source.path}"
        )
    return file
