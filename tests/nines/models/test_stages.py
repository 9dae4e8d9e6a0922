import copy

import pytest
import torch

from nines.models.dropout import DropoutOptions
from nines.models.encoders import load_encoder
from nines.models.stages import EncoderStages
from nines.models.weights import TINY_FAMILIES, resolve


@pytest.mark.parametrize("family", [*TINY_FAMILIES, "llama"])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_the_stage_above_goes_on_exactly_where_the_stage_below_ends(family: str, cut: int) -> None:
    encoder = load_encoder(resolve(f"tiny:{family}"), dropout=DropoutOptions()).eval()
    stages = EncoderStages(encoder, cut, end=4)
    ids = torch.randint(5, 600, (3, 19))
    mask = (torch.arange(19) < torch.tensor([[19], [4], [12]])).long()
    assert stages.lower is not None
    assert stages.upper is not None
    hidden = stages.lower(ids, attention_mask=mask).last_hidden_state
    found = stages.upper(inputs_embeds=hidden, attention_mask=mask).last_hidden_state
    expected = encoder(ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", [*TINY_FAMILIES, "llama"])
def test_stages_share_their_parameters_with_the_encoder(family: str) -> None:
    encoder = load_encoder(resolve(f"tiny:{family}"), dropout=DropoutOptions())
    stages = EncoderStages(encoder, 2, end=4)
    own = {id(parameter) for parameter in encoder.parameters()}
    for stage in (stages.lower, stages.upper):
        assert stage is not None
        assert {id(parameter) for parameter in stage.parameters()} <= own


def test_the_ends_need_no_second_stage() -> None:
    encoder = load_encoder(resolve("tiny:bert"), dropout=DropoutOptions())
    whole, none = EncoderStages(encoder, 4, end=4), EncoderStages(encoder, 0, end=4)
    assert (whole.lower, whole.upper) == (encoder, None)
    assert (none.lower, none.upper) == (None, encoder)


def test_a_copy_of_encoder_and_stages_shares_among_itself_only() -> None:
    encoder = load_encoder(resolve("tiny:bert"), dropout=DropoutOptions())
    pair = (encoder, EncoderStages(encoder, 2, end=4))
    copied_encoder, copied_stages = copy.deepcopy(pair)
    assert copied_stages.upper is not None
    assert {id(p) for p in copied_stages.upper.parameters()} <= {id(p) for p in copied_encoder.parameters()}
    assert {id(p) for p in copied_encoder.parameters()}.isdisjoint({id(p) for p in encoder.parameters()})
