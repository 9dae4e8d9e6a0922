from pathlib import Path

from benchmarks.ppo_against_trl.setting import Setting


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    setting = Setting(model="m", prompts=["a", "b"], tokens=[[1, 2], [3]], pad=7, completions=3, kl=0.1, seed=4)
    setting.write(tmp_path / "setting.json")
    assert Setting.read(tmp_path / "setting.json") == setting
    assert setting.batch == 6
