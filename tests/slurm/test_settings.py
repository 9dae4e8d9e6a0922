from pathlib import Path

from nines.files import write_json
from slurm.options import SlurmOptions
from slurm.settings import SlurmSettings


def test_a_worker_reads_what_the_launcher_wrote(tmp_path: Path) -> None:
    options = SlurmOptions(gpus_per_node="a100:4", trials_per_job=2, srun_options=("--cpu-bind=none",), python="/py")
    settings = SlurmSettings.of(options, nodes=2, tasks_per_node=2)
    write_json(tmp_path / settings.file_name, settings.as_mapping())
    assert SlurmSettings.read(tmp_path / settings.file_name) == settings
    assert (settings.resources.gpus_per_node, settings.resources.ranks) == ("a100:2", 4)
    assert settings.rank_python == "/py"


def test_other_settings_are_another_file(tmp_path: Path) -> None:
    def name(**changes: int) -> str:
        return SlurmSettings.of(SlurmOptions(**changes), nodes=1, tasks_per_node=1).file_name

    assert name() == name()
    assert name() != name(signal_seconds=60)
