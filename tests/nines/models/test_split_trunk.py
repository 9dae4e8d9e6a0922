import torch

from nines.models.language_model import LanguageModelOptions, load_language_model
from nines.models.split_trunk import SplitTrunk
from nines.rl.prompt_rows import prompt_rows
from tests.nines.rl.test_prompt_rows import siblings


def model_with(**options):
    return load_language_model(LanguageModelOptions(source="tiny:llama", **options))


def test_the_trained_layers_go_on_exactly_where_the_frozen_ones_end():
    model, rows = model_with(train="upper", upper_layers=1), prompt_rows(siblings())
    split = SplitTrunk.of(model)
    frozen = split.frozen_states(rows.tokens, attention=rows.attention, positions=rows.positions)
    found = split.hidden_states(frozen, attention=rows.attention, positions=rows.positions)
    whole = model.trunk(
        input_ids=rows.tokens, attention_mask=rows.attention, position_ids=rows.positions, use_cache=False
    )
    assert torch.equal(found, whole.last_hidden_state)
    assert not torch.equal(frozen, found)


def test_a_gradient_reaches_every_trained_parameter_and_no_frozen_one():
    model, rows = model_with(train="upper", upper_layers=2), prompt_rows(siblings())
    split = SplitTrunk.of(model)
    frozen = split.frozen_states(rows.tokens, attention=rows.attention, positions=rows.positions)
    assert not frozen.requires_grad
    split.hidden_states(frozen, attention=rows.attention, positions=rows.positions).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_where_nothing_or_nothing_below_is_frozen_there_is_no_split():
    assert SplitTrunk.of(model_with(train="all")) is None
    assert SplitTrunk.of(model_with(train="lora", lora_rank=2, lora_alpha=4)) is None
    assert SplitTrunk.of(model_with(train="upper", upper_layers=4)) is None
