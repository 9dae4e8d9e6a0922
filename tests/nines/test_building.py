import pytest

from nines.building import build
from nines.errors import ConfigError
from nines.losses.base import BinaryLoss
from nines.losses.focal import FocalLoss


def test_a_mapping_becomes_the_object_that_it_names() -> None:
    loss = build({"_target_": "nines.losses.focal.FocalLoss", "gamma": 1.5}, kind=BinaryLoss)
    assert isinstance(loss, FocalLoss)
    assert loss.gamma == 1.5


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"gamma": 1.0}, "_target_"),
        ({"_target_": "os.system"}, "outside the package"),
        ({"_target_": "nines.losses.focla.FocalLoss"}, "names no module"),
        ({"_target_": "nines.losses.focal.FocalLos"}, "did you mean 'FocalLoss'"),
        ({"_target_": "nines.losses.focal.FocalLoss", "gama": 1.0}, "did you mean 'gamma'"),
        ({"_target_": "nines.errors.ConfigError"}, "is no BinaryLoss"),
    ],
)
def test_a_bad_mapping_is_one_line_that_names_what_is_valid(spec: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(spec, kind=BinaryLoss)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
