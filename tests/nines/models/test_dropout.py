import pytest

from nines.errors import CapabilityError, ConfigError
from nines.models.dropout import DropoutOptions


@pytest.mark.parametrize("name", ["hidden", "attention", "head", "embedding", "layer_drop"])
@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_a_rate_outside_zero_to_one_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"dropout\.{name}={value}"):
        DropoutOptions(**{name: value})


def test_at_least_one_mask_and_no_negative_weight() -> None:
    with pytest.raises(ConfigError, match="multi_sample=0"):
        DropoutOptions(multi_sample=0)
    with pytest.raises(ConfigError, match=r"r_drop=-1\.0"):
        DropoutOptions(r_drop=-1.0)


def test_embedding_dropout_on_frozen_embeddings_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"dropout\.embedding=0\.1 would do nothing"):
        DropoutOptions(embedding=0.1).check_frozen(1, 6)
    DropoutOptions(embedding=0.1).check_frozen(0, 6)
    DropoutOptions(embedding=0.0).check_frozen(6, 6)


@pytest.mark.parametrize("name", ["hidden", "attention", "layer_drop"])
def test_dropout_of_the_layers_is_refused_only_when_all_are_frozen(name: str) -> None:
    options = DropoutOptions(**{name: 0.1})
    options.check_frozen(5, 6)
    with pytest.raises(CapabilityError, match=rf"dropout\.{name}=0\.1 would do nothing"):
        options.check_frozen(6, 6)


def test_dropout_of_the_head_is_never_refused() -> None:
    DropoutOptions(head=0.5, multi_sample=4, r_drop=1.0).check_frozen(6, 6)
