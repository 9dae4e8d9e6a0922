from typing import Any

import pytest

from nines.errors import ConfigError
from nines.policies.options import SamplingOptions


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("min_p", 1.0),
        ("repetition_penalty", 0.9),
        ("max_new_tokens", 0),
        ("shortest_sentence", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=rf"sampling\.{name} must"):
        SamplingOptions(**{name: wrong})


def test_what_filters_and_what_looks_back_is_known() -> None:
    assert not SamplingOptions(top_p=1.0).filters
    assert all(
        SamplingOptions(**{"top_p": 1.0, **one}).filters for one in ({"top_p": 0.9}, {"top_k": 5}, {"min_p": 0.1})
    )
    assert not SamplingOptions(repetition_penalty=1.0).penalises_repetition
    assert SamplingOptions(repetition_penalty=1.2).penalises_repetition
