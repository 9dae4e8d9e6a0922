import dataclasses

import pytest
import torch
from torch import nn
from torch.distributions import Categorical

from nines.models.actor_critic import ActorCritic, entropy_of
from nines.models.language_model import LanguageModelOptions, load_language_model
from nines.rl.rollout import take
from tests.nines.rl.test_rollout import rows

COMPLETIONS = rows([[5], [6, 7, 30], [8, 9]], [[12, 13, 14, 15], [16], [17, 18]])


def actor_critic(*, separate: bool = False) -> ActorCritic:
    options = LanguageModelOptions(source="tiny:llama")
    model = ActorCritic(load_language_model(options), critic=load_language_model(options) if separate else None)
    torch.manual_seed(0)
    nn.init.normal_(model.value_head.weight)
    return model


@pytest.mark.parametrize("separate", [False, True])
def test_the_value_head_starts_at_zero(separate):
    options = LanguageModelOptions(source="tiny:llama")
    model = ActorCritic(load_language_model(options), critic=load_language_model(options) if separate else None)
    assert not model(COMPLETIONS).values.any()


def test_log_probabilities_are_those_of_the_whole_model_token_by_token():
    model = actor_critic()
    found = model(COMPLETIONS, temperature=0.7)
    for row, (prompt, completion) in enumerate(
        zip([[5], [6, 7, 30], [8, 9]], [[12, 13, 14, 15], [16], [17, 18]], strict=True)
    ):
        tokens = torch.tensor([prompt + completion])
        logits = model.policy(tokens, torch.ones_like(tokens, dtype=torch.bool))[0] / 0.7
        expected = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, torch.tensor(completion)[:, None])[:, 0]
        torch.testing.assert_close(found.log_probs[row, : len(completion)], expected, atol=1e-5, rtol=1e-5)
        assert not found.log_probs[row, len(completion) :].any()


@pytest.mark.parametrize("separate", [False, True])
def test_neither_padding_nor_the_order_of_the_batch_changes_what_is_said_of_a_token(separate):
    model, mask = actor_critic(separate=separate), COMPLETIONS.completion_mask
    whole = model(COMPLETIONS, entropy=True)
    wide = model(COMPLETIONS.widened(prompt_width=9, completion_width=7, padding=3), entropy=True)
    order = torch.tensor([2, 0, 1])
    shuffled = model(take(COMPLETIONS, order), entropy=True)
    for field in dataclasses.fields(whole):
        expected = getattr(whole, field.name)
        torch.testing.assert_close(getattr(wide, field.name)[:, :4][mask], expected[mask], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(getattr(shuffled, field.name)[mask[order]], expected[order][mask[order]])


def test_a_value_is_that_of_the_state_before_its_token():
    model = actor_critic()
    changed = COMPLETIONS.tokens.clone()
    changed[0, COMPLETIONS.prompt_width + 1] = 99
    again = model(dataclasses.replace(COMPLETIONS, tokens=changed))
    before = model(COMPLETIONS)
    assert torch.equal(again.values[0, :2], before.values[0, :2])
    assert not torch.isclose(again.values[0, 2], before.values[0, 2])


def test_a_critic_of_its_own_leaves_the_policy_without_gradient_of_the_values():
    for separate, reached in ((False, True), (True, False)):
        model = actor_critic(separate=separate)
        model(COMPLETIONS).values.square().sum().backward()
        touched = any(parameter.grad is not None for parameter in model.policy.parameters())
        assert touched is reached


def test_entropy_in_chunks_is_that_of_torch_distributions_and_has_its_gradient():
    head = nn.Linear(6, 11, bias=False)
    hidden = torch.randn(5, 6, requires_grad=True)
    found = entropy_of(hidden, head=head, temperature=0.5, most_logits=22)
    expected = Categorical(logits=head(hidden) / 0.5).entropy()
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.sum(), hidden, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), hidden)[0])


def test_what_is_not_trained_is_named_and_depths_rise_to_the_value_head():
    model = actor_critic(separate=True)
    assert all("critic.network.lm_head" in name for name in model.frozen_parameter_names())
    assert model.depth_of("policy.network.model.embed_tokens.weight") == 0
    assert model.depth_of("critic.network.model.layers.2.mlp.up_proj.weight") == 3
    assert model.depth_of("value_head.weight") == model.layer_count + 1 == 5


@pytest.mark.parametrize("train", ["all", "upper"])
def test_siblings_in_one_row_get_the_figures_that_each_has_in_a_row_of_its_own(train):
    options = LanguageModelOptions(source="tiny:llama", train=train, upper_layers=2)
    model = ActorCritic(load_language_model(options))
    nn.init.normal_(model.value_head.weight)
    apart = rows([[6, 7, 30], [8, 9], [6, 7, 30]], [[12, 13, 14, 15], [16], [17, 18]])
    together = dataclasses.replace(apart, prompt=torch.tensor([3, 1, 3]))
    mask = apart.completion_mask
    expected, found = model(apart, entropy=True), model(together, entropy=True)
    for field in dataclasses.fields(found):
        one, other = getattr(found, field.name)[mask], getattr(expected, field.name)[mask]
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_what_the_frozen_layers_gave_before_changes_no_bit_of_policy_or_reference():
    options = LanguageModelOptions(source="tiny:llama", train="upper", upper_layers=2)
    model = ActorCritic(load_language_model(options))
    model.policy.keep_reference()
    started = model(COMPLETIONS).log_probs.detach()
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) * parameter.requires_grad)
    frozen = model.frozen_states(COMPLETIONS)
    assert torch.equal(model(COMPLETIONS, frozen=frozen).log_probs, model(COMPLETIONS).log_probs)
    assert torch.equal(model.reference_log_probs(COMPLETIONS, frozen=frozen), started)
    assert not torch.allclose(model(COMPLETIONS).log_probs, started)
