from pathlib import Path

import pytest

from nines.errors import ConfigError
from nines.files import write_json, write_text
from nines.statistics.calibration import LogisticMap
from nines.threshold_file import read_threshold


def test_a_threshold_survives_to_the_last_bit_with_its_map(tmp_path: Path) -> None:
    path, fitted = tmp_path / "threshold.json", LogisticMap("platt", 1.1, 1.1, -0.3)
    write_json(
        path, {"threshold": 0.1 + 0.2, "calibration": {"map": fitted.as_json()}, "written_by": "nines calibrate"}
    )
    found = read_threshold(path)
    assert found is not None
    assert (found.threshold, found.calibration, found.calibrated) == (0.1 + 0.2, fitted, True)


def test_the_file_of_a_training_run_is_read_too(tmp_path: Path) -> None:
    write_json(tmp_path / "threshold.json", {"threshold": 0.5, "population": "natural"})
    found = read_threshold(tmp_path / "threshold.json")
    assert found is not None
    assert (found.calibration, found.calibrated) == (None, False)
    assert read_threshold(tmp_path / "nowhere.json") is None


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"threshold": "low"}', '{"threshold": NaN}', '{"threshold": 0.1, "calibration": {"map": {}}}'],
)
def test_a_damaged_file_is_one_line_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / "threshold.json", text)
    with pytest.raises(ConfigError, match="nines calibrate") as caught:
        read_threshold(tmp_path / "threshold.json")
    assert "\n" not in str(caught.value)
