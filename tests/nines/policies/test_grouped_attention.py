import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from nines.policies.grouped_attention import grouped_attention, use_grouped_attention
from tests.nines.policies.small_models import tiny_model


@pytest.mark.parametrize("heads", [2, 6])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_it_equals_torchs_attention_with_repeated_keys(heads: int, scaling: float | None) -> None:
    rows, groups, tokens, width = 3, 2, 5, 4
    query = torch.randn(rows, heads, 1, width)
    key, value = torch.randn(2, rows, groups, tokens, width)
    mask = torch.rand(rows, 1, 1, tokens) < 0.6
    mask[..., 0] = True
    repeated = [part.repeat_interleave(heads // groups, dim=1) for part in (key, value)]
    expected = scaled_dot_product_attention(query, *repeated, attn_mask=mask, scale=scaling)
    found = grouped_attention(query, key, value, mask, scaling=scaling)
    assert torch.allclose(found, expected.transpose(1, 2), atol=1e-6)
    whole = scaled_dot_product_attention(query, *repeated, scale=scaling).transpose(1, 2)
    assert torch.allclose(grouped_attention(query, key, value, None, scaling=scaling), whole, atol=1e-6)


def test_a_kind_of_model_that_does_more_than_this_is_left_alone() -> None:
    model = tiny_model().model
    assert use_grouped_attention(model)
    model.config.model_type = "gemma2"
    assert not use_grouped_attention(model)
