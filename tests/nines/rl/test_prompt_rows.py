import dataclasses

import torch

from nines.rl.prompt_rows import prompt_rows
from tests.nines.rl.test_rollout import rows

PROMPTS = [[5, 6], [7, 8, 9], [5, 6]]
SAMPLED = [[11, 12, 13], [14], [15, 16]]


def siblings():
    return dataclasses.replace(rows(PROMPTS, SAMPLED), prompt=torch.tensor([4, 2, 4]))


def test_a_prompt_stands_once_before_all_its_completions():
    found = prompt_rows(siblings())
    assert found.tokens.tolist() == [[5, 6, 11, 12, 13, 15, 16], [7, 8, 9, 14, 0, 0, 0]]
    assert found.positions[0].tolist() == [0, 1, 2, 3, 4, 2, 3]
    assert found.groups == (((0, 2), 7), ((1,), 4))


def test_a_token_sees_the_prompt_and_what_is_before_it_in_its_own_completion():
    seen = (prompt_rows(siblings()).attention == 0)[:, 0]
    assert [row.nonzero().flatten().tolist() for row in seen[0]] == [
        [0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 5], [0, 1, 5, 6],
    ]  # fmt: skip
    assert seen[1, :, 4:].nonzero().tolist() == [[4, 0], [5, 1], [6, 2]], "only padding itself looks at padding"


def test_the_state_before_a_token_is_that_of_the_token_before_it_in_its_own_text():
    found = prompt_rows(siblings())
    states = found.states_before(found.tokens[..., None].float())[..., 0]
    mask = siblings().completion_mask
    assert states[mask].tolist() == [6, 11, 12, 9, 6, 15]


def test_padding_around_the_completions_changes_no_row():
    narrow, wide = siblings(), siblings().widened(prompt_width=9, completion_width=6, padding=3)
    assert torch.equal(prompt_rows(narrow).tokens, prompt_rows(wide).tokens)
    assert torch.equal(prompt_rows(narrow).attention, prompt_rows(wide).attention)
