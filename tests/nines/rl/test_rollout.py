import dataclasses

import pytest
import torch

from nines.errors import ConfigError, DataError
from nines.rl.rollout import Completions, Rollout, Targets, concatenate, minibatches, share_of_rank, take


def rows(prompts: list[list[int]], completions: list[list[int]], *, first: int = 0) -> Completions:
    """Completions of the given tokens, one a prompt, without a column of padding that none needs."""
    left = max(len(prompt) for prompt in prompts)
    right = max(len(completion) for completion in completions)
    tokens = torch.zeros(len(prompts), left + right, dtype=torch.long)
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        tokens[row, left - len(prompt) : left + len(completion)] = torch.tensor(prompt + completion)
        mask[row, left - len(prompt) : left + len(completion)] = True
    numbers = torch.arange(first, first + len(prompts))
    return Completions(tokens, mask, mask[:, left:], numbers, torch.ones(len(prompts), dtype=torch.bool))


def assert_same(first: Completions, second: Completions) -> None:
    for field in dataclasses.fields(first):
        assert torch.equal(getattr(first, field.name), getattr(second, field.name)), field.name


def test_padding_that_no_row_needs_is_trimmed_away_and_can_be_put_back():
    narrow = rows([[5], [6, 7]], [[8, 9], [10]])
    wide = narrow.widened(prompt_width=5, completion_width=4)
    assert wide.tokens.shape == (2, 9)
    assert wide.prompt_width == 5
    assert_same(wide.trimmed(), narrow)
    assert wide.lengths.tolist() == [2, 1]


def test_one_column_stays_where_every_completion_is_empty():
    empty = rows([[5], [6]], [[8], [9]])
    empty = dataclasses.replace(
        empty,
        mask=torch.tensor([[True, False], [True, False]]),
        completion_mask=torch.zeros(2, 1, dtype=torch.bool),
    )
    assert empty.trimmed().completion_mask.shape == (2, 1)


def test_parts_of_different_widths_are_put_below_each_other():
    whole = concatenate([rows([[5]], [[8, 9, 10]]), rows([[1, 2, 3]], [[4]], first=1)])
    assert whole.tokens.tolist() == [[0, 0, 5, 8, 9, 10], [1, 2, 3, 4, 0, 0]]
    assert whole.prompt.tolist() == [0, 1]
    with pytest.raises(DataError, match="no completions"):
        concatenate([])


def test_rows_are_taken_of_everything_a_rollout_holds():
    completions = rows([[5], [6], [7]], [[8, 9], [10], [11]])
    figures = torch.arange(6.0).view(3, 2)
    rollout = Rollout(completions, torch.arange(3.0), {"safety": -torch.arange(3.0)}, figures, figures + 1, figures + 2)
    picked = take(rollout, torch.tensor([2, 0]))
    assert picked.completions.tokens.tolist() == [[7, 11, 0], [5, 8, 9]]
    assert picked.parts["safety"].tolist() == [-2, 0]
    assert picked.values.tolist() == [[6, 7], [2, 3]]
    assert take(Targets(figures, figures), torch.tensor([1])).returns.tolist() == [[2, 3]]
    short = take(rollout, torch.tensor([1, 2])).trimmed()
    assert short.log_probs.tolist() == [[2], [4]]
    assert short.mask.tolist() == [[True], [True]]
    assert Targets(figures, figures).narrowed(1).advantages.tolist() == [[0], [2], [4]]


@pytest.mark.parametrize("together", [True, False])
def test_every_row_is_in_exactly_one_minibatch_and_epochs_differ(together):
    prompts = torch.arange(6).repeat_interleave(4)
    first = minibatches(prompts, size=8, seed=(1, 0, 0), together=together)
    assert [len(part) for part in first] == [8, 8, 8]
    assert torch.cat(first).sort().values.tolist() == list(range(24))
    second = minibatches(prompts, size=8, seed=(1, 0, 1), together=together)
    assert not torch.equal(torch.cat(first), torch.cat(second))
    again = minibatches(prompts, size=8, seed=(1, 0, 0), together=together)
    assert torch.equal(torch.cat(first), torch.cat(again))


def test_siblings_stay_together_where_asked():
    prompts = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 5, 5, 5])
    for part in minibatches(prompts, size=3, seed=(0,), together=True):
        assert len(part) == 3
        assert len(set(prompts[part].tolist())) == 1
    apart = [len(set(prompts[part].tolist())) for part in minibatches(prompts, size=3, seed=(0,))]
    assert max(apart) > 1


def test_a_minibatch_without_rows_is_refused():
    with pytest.raises(ConfigError, match="minibatch_size"):
        minibatches(torch.arange(3), size=0, seed=(0,))
    with pytest.raises(ConfigError, match="too small for 4 ranks"):
        share_of_rank(torch.arange(3), torch.ones(9), rank=0, ranks=4, size=2)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("count", [6, 7])
def test_ranks_share_a_minibatch_in_equally_many_passes(ranks, size, count):
    lengths = torch.tensor([3, 9, 1, 7, 5, 8, 2, 4, 6, 1])
    minibatch = torch.tensor([9, 1, 3, 5, 7, 0, 2])[:count]
    shares = [share_of_rank(minibatch, lengths, rank=rank, ranks=ranks, size=size) for rank in range(ranks)]
    assert len({len(share) for share in shares}) == 1
    spare = 1 if count % ranks else 0
    assert all(0 < len(part) <= size + spare for share in shares for part in share)
    together = torch.cat([part for share in shares for part in share])
    assert together.sort().values.tolist() == minibatch.sort().values.tolist()
    for share in shares:
        ordered = lengths[torch.cat(share)]
        assert torch.equal(ordered, ordered.sort(descending=True).values)


@pytest.mark.parametrize(("ranks", "size"), [(1, 4), (1, 100), (2, 4), (3, 2)])
def test_siblings_stay_in_one_pass_and_every_row_is_in_one(ranks, size):
    prompts = torch.tensor([5, 3, 5, 3, 7, 7, 9, 9, 1, 1, 2, 2])
    rows, lengths = torch.arange(12), torch.tensor([9, 1, 9, 1, 4, 4, 6, 6, 2, 2, 3, 3])
    shares = [share_of_rank(rows, lengths, rank=rank, ranks=ranks, size=size, prompts=prompts) for rank in range(ranks)]
    passes = [one for share in shares for one in share]
    assert sorted(torch.cat(passes).tolist()) == rows.tolist()
    assert len({len(share) for share in shares}) == 1
    for number in prompts.unique():
        assert sum(bool((prompts[one] == number).any()) for one in passes) == 1


def test_fewer_prompts_than_ranks_is_the_users_mistake_where_siblings_stay_together():
    with pytest.raises(ConfigError, match="a minibatch of 1 prompts with all their completions is too small"):
        share_of_rank(torch.arange(4), torch.ones(4), rank=0, ranks=2, size=2, prompts=torch.zeros(4))
