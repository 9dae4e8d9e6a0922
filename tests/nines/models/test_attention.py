import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nines.models import attention


def _inputs(dtype: torch.dtype, *, queries: int = 9, tokens: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    shapes = ((3, 4, queries, 8), (3, 4, tokens, 8), (3, 4, tokens, 8))
    query, key, value = (torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes)
    return query, key, value


def _mask(tokens: int = 9) -> Tensor:
    return (torch.arange(tokens) < torch.tensor([[tokens], [tokens - 2], [3]]))[:, None, None, :]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("queries", [1, 9])
def test_two_products_equal_torchs_fused_attention_forwards_and_backwards(masked: bool, queries: int) -> None:
    mask = _mask() if masked else None
    ours, theirs = _inputs(torch.float64, queries=queries), _inputs(torch.float64, queries=queries)
    mixed = attention.by_products(*ours, mask=mask, dropout=0.0, scale=0.3)
    fused = functional.scaled_dot_product_attention(*theirs, attn_mask=mask, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(mixed, fused)
    upstream = torch.randn_like(mixed)
    mixed.backward(upstream)
    fused.backward(upstream)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.grad, their.grad)


def test_bf16_is_as_near_to_float64_as_rounding_allows() -> None:
    exact = functional.scaled_dot_product_attention(*_inputs(torch.float64), attn_mask=_mask()).transpose(1, 2)
    mixed, _ = attention.attention(torch.nn.Module(), *_inputs(torch.bfloat16), _mask())
    assert mixed.dtype == torch.bfloat16
    assert (mixed.double() - exact).abs().max() < 0.03


def test_hidden_tokens_have_no_influence() -> None:
    query, key, value = _inputs(torch.bfloat16)
    before, _ = attention.attention(torch.nn.Module(), query, key, value, _mask())
    with torch.no_grad():
        value[2, :, 3:] = 1e4
        key[2, :, 3:] = 1e4
    after, _ = attention.attention(torch.nn.Module(), query, key, value, _mask())
    assert torch.equal(before, after)


def test_fp32_goes_to_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Tensor:
        raise AssertionError("two products are slower in fp32")

    monkeypatch.setattr(attention, "by_products", fail)
    query, key, value = _inputs(torch.float32)
    module = torch.nn.Module()
    module.is_causal = False
    mixed, _ = attention.attention(module, query, key, value, _mask())
    expected = functional.scaled_dot_product_attention(query, key, value, attn_mask=_mask()).transpose(1, 2)
    torch.testing.assert_close(mixed, expected)


def test_dropout_hides_weights_at_its_rate() -> None:
    torch.manual_seed(0)
    query = key = torch.zeros(1, 1, 400, 4)
    value = torch.ones(1, 1, 400, 1)
    mixed = attention.by_products(query, key, value, mask=None, dropout=0.25, scale=1.0)
    # Each output is the share of 400 equal weights that stayed, divided by 0.75.
    assert mixed.mean().item() == pytest.approx(1.0, abs=0.01)
    assert mixed.std().item() == pytest.approx((0.25 / 0.75 / 400) ** 0.5, rel=0.2)
