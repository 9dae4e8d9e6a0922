import math

import pytest

from nines.errors import ConfigError
from slurm.time_limits import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("10:30", 630),
        ("02:00:05", 7205),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("1-12:30:05", 131405),
        ("0-0:0:30", 30),
    ],
)
def test_each_form_of_the_manual_is_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


def test_no_limit_is_infinite() -> None:
    assert math.isinf(seconds_of("UNLIMITED"))
    assert math.isinf(seconds_of("infinite"))


@pytest.mark.parametrize("text", ["", "1h", "1:2:3:4", "-1", "1-", "1-2:3:4:5", "NOT_SET", "1 2"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no span of time"):
        seconds_of(text)
