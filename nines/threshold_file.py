"""`threshold.json` of a run folder: the threshold that everything later reads, and how it came about.

`callbacks.reliability` writes one after training, `nines calibrate` a better one with a guarantee. A threshold is
compared with raw scores, in float64; a calibration map is for people who read probabilities, and decides nothing.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Final

from nines.errors import ConfigError, DataError
from nines.files import read_json
from nines.statistics.calibration import CalibrationMap, calibration_from_json

CALIBRATE: Final = "nines calibrate"
"""`written_by` of a file that states a guarantee."""


@dataclasses.dataclass(frozen=True)
class ThresholdFile:
    """What the rest of the house needs of it.

    Attributes:
        threshold: Accept a completion if and only if its raw score is below this.
        calibration: Map from raw scores to probabilities; None where nobody fitted one.
        written_by: The command that chose the threshold; None for files of a training run.
        content: Everything in the file.
    """

    threshold: float
    calibration: CalibrationMap | None
    written_by: str | None
    content: dict[str, Any]

    @property
    def calibrated(self) -> bool:
        """Whether `nines calibrate` chose the threshold."""
        return self.written_by == CALIBRATE


def read_threshold(path: Path) -> ThresholdFile | None:
    """The content of `threshold.json`; None where there is no such file.

    Raises:
        ConfigError: The file is damaged or states no threshold.
    """
    if not path.exists():
        return None
    hint = "write it anew with: nines calibrate classifier=<run folder>"
    try:
        content = read_json(path)
        threshold = float(content["threshold"])
        calibration = content.get("calibration")
        found = None if calibration is None else calibration_from_json(calibration["map"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is no threshold file ({type(error).__name__}: {error}); {hint}") from error
    except DataError as error:
        raise ConfigError(f"{path}: {error}; {hint}") from error
    if math.isnan(threshold):
        raise ConfigError(f"{path} states no threshold, but NaN; {hint}")
    return ThresholdFile(threshold, found, content.get("written_by"), content)
