import pytest
import torch

from nines.models.dropout import DropoutOptions
from nines.models.encoders import find_layers, load_encoder
from nines.models.last_layer import can_narrow, last_layer_at, tokens_read
from nines.models.weights import resolve


def test_only_layers_built_like_berts_are_narrowed() -> None:
    can = {
        family: can_narrow(find_layers(load_encoder(resolve(f"tiny:{family}"), dropout=DropoutOptions()))[1][-1], "cls")
        for family in ("bert", "deberta", "modernbert")
    }
    assert can == {"bert": True, "deberta": False, "modernbert": False}


def test_pooling_over_all_tokens_needs_all_tokens() -> None:
    layer = find_layers(load_encoder(resolve("tiny:bert"), dropout=DropoutOptions()))[1][-1]
    assert can_narrow(layer, "completion_mean")
    assert not can_narrow(layer, "mean")
    assert not can_narrow(layer, "max")


def test_the_tokens_of_a_completion_are_found_and_short_ones_masked() -> None:
    completion = torch.tensor([[False, False, True, True, True], [False, True, False, False, False]])
    positions, real = tokens_read("completion_mean", completion)
    assert real.tolist() == [[True, True, True], [True, False, False]]
    assert positions[real].tolist() == [2, 3, 4, 1]
    positions, real = tokens_read("cls", completion)
    assert positions.tolist() == [[0], [0]]
    assert real.all()


def test_a_batch_without_any_completion_reads_nothing_real() -> None:
    positions, real = tokens_read("completion_mean", torch.zeros(2, 4, dtype=torch.bool))
    assert positions.shape == real.shape == (2, 1)
    assert not real.any()


@pytest.mark.parametrize("padded", [False, True])
def test_outputs_and_gradients_equal_those_of_the_whole_layer(padded: bool) -> None:
    encoder = load_encoder(resolve("tiny:bert"), dropout=DropoutOptions()).eval()
    layer = find_layers(encoder)[1][-1]
    mask = (torch.arange(9) < torch.tensor([[9], [6]])) if padded else None
    positions = torch.tensor([[0, 3, 5], [2, 4, 1]])
    upstream = torch.randn(2, 3, 32)

    def gradients(narrow: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        hidden = torch.randn(2, 9, 32, requires_grad=True)
        encoder.zero_grad()
        if narrow:
            out = last_layer_at(layer, hidden, positions, attention_mask=mask)
        else:
            whole = layer(hidden, None if mask is None else mask[:, None, None, :].expand(2, 1, 9, 9))
            out = whole[torch.arange(2)[:, None], positions]
        out.backward(upstream)
        assert hidden.grad is not None
        return [out, hidden.grad, *(parameter.grad.clone() for parameter in layer.parameters())]

    for narrow, whole in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(narrow, whole, atol=1e-5, rtol=1e-4)
