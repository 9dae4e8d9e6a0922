from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from apps.pipeline.curves import read_curves


def write(folder: Path, values: dict[int, float], *, later: float = 0.0) -> None:
    with SummaryWriter(str(folder), filename_suffix=f".{later}") as writer:
        for step, value in values.items():
            writer.add_scalar("train/kl", value, step, walltime=1000 + later + step)
            writer.add_scalar("train/reward/quality", -value, step, walltime=1000 + later + step)
            writer.add_scalar("train/kl_k3", 9, step, walltime=1000 + later + step)


def test_curves_are_read_by_name_or_by_beginning(tmp_path: Path) -> None:
    write(tmp_path / "version_0", {1: 0.5, 0: 0.25})
    found = read_curves(tmp_path, ("train/kl", "train/reward/", "valid/score"))
    assert found == {"train/kl": [(0, 0.25), (1, 0.5)], "train/reward/quality": [(0, -0.25), (1, -0.5)]}


def test_of_steps_that_a_resumed_run_logged_twice_the_later_counts(tmp_path: Path) -> None:
    write(tmp_path, {0: 1, 1: 2, 2: 3})
    write(tmp_path, {1: 20, 2: 30, 3: 40}, later=500)
    assert read_curves(tmp_path, ("train/kl",))["train/kl"] == [(0, 1), (1, 20), (2, 30), (3, 40)]


def test_a_run_without_event_files_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path / "absent", ("train/kl",)) == {}
