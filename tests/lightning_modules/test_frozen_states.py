import torch

from lightning_modules.frozen_states import FrozenStates
from nines.rl.prompt_rows import prompt_rows
from nines.rl.rollout import take
from tests.nines.rl.test_prompt_rows import siblings


def counted():
    calls = []

    def compute(completions):
        tokens = prompt_rows(completions).tokens
        calls.append(len(tokens))
        return tokens[..., None].float()

    return FrozenStates(compute), calls


def test_rows_that_were_seen_are_put_together_anew_and_not_computed_again():
    states, calls = counted()
    whole = torch.arange(3)
    first = states.of(siblings(), whole)
    assert torch.equal(states.of(siblings(), whole), first)
    alone = torch.tensor([1])
    assert torch.equal(states.of(take(siblings(), alone), alone)[0], first[1, :4])
    assert calls == [2]


def test_a_row_without_one_of_its_siblings_is_another_row():
    states, calls = counted()
    states.of(siblings(), torch.arange(3))
    some = torch.tensor([0, 1])
    states.of(take(siblings(), some), some)
    assert calls == [2, 2]


def test_where_nothing_is_frozen_nothing_is_kept():
    assert FrozenStates(lambda completions: None).of(siblings(), torch.arange(3)) is None
