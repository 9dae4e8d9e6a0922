import pytest
import torch

from nines.errors import CapabilityError, ConfigError
from nines.policies.loading import load_for_sampling


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_weights_are_in_the_precision_that_was_asked_for(precision: str, dtype: torch.dtype) -> None:
    model = load_for_sampling("tiny:llama", precision=precision)
    assert model.model.dtype == dtype
    assert not model.model.training


def test_an_unknown_precision_or_device_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="precision=fp16"):
        load_for_sampling("tiny:llama", precision="fp16")
    if not torch.cuda.is_available():
        with pytest.raises(CapabilityError, match="device=cuda cannot be used here"):
            load_for_sampling("tiny:llama", device="cuda", precision="fp32")
