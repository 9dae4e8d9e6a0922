import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.order import EvaluationOrder, Ranks, TrainingOrder
from nines.errors import ConfigError

SHAPES = st.tuples(
    st.integers(1, 200),  # rows
    st.integers(1, 9),  # batch size
    st.integers(1, 5),  # ranks
).filter(lambda shape: shape[0] >= shape[2])
SEEDS = st.integers(0, 2**31)


def lengths_of(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(4, 128, rows)


def training_orders(shape: tuple[int, int, int], seed: int, *, drop_last: bool = False) -> list[TrainingOrder]:
    rows, batch_size, world_size = shape
    return [
        TrainingOrder(
            lengths_of(rows), draw=lambda epoch: np.arange(rows), batch_size=batch_size, seed=seed,
            ranks=Ranks(rank, world_size), bucket_steps=4, drop_last=drop_last,
        )
        for rank in range(world_size)
    ]  # fmt: skip


@given(shape=SHAPES, seed=SEEDS, epoch=st.integers(0, 5))
def test_over_all_ranks_an_epoch_has_every_row_exactly_once(shape: tuple[int, int, int], seed: int, epoch: int) -> None:
    everything = [row for order in training_orders(shape, seed) for batch in order.batches(epoch) for row in batch]
    assert sorted(everything) == list(range(shape[0]))


@given(shape=SHAPES, seed=SEEDS)
def test_every_rank_has_the_same_number_of_batches_and_none_is_empty(shape: tuple[int, int, int], seed: int) -> None:
    _, batch_size, _ = shape
    for order in training_orders(shape, seed):
        batches = order.batches(0)
        assert len(batches) == order.steps
        sizes = [len(batch) for batch in batches]
        assert min(sizes) >= 1
        assert max(sizes) <= max(batch_size, 2), "only a batch of one may grow, to two"


@given(shape=SHAPES, seed=SEEDS)
def test_batches_of_an_epoch_differ_by_one_row_at_most_on_each_rank_and_step(
    shape: tuple[int, int, int], seed: int
) -> None:
    sizes = [len(batch) for order in training_orders(shape, seed) for batch in order.batches(0)]
    assert max(sizes) - min(sizes) <= 1


@given(shape=SHAPES, seed=SEEDS)
def test_with_drop_last_all_batches_are_full_and_no_row_comes_twice(shape: tuple[int, int, int], seed: int) -> None:
    rows, batch_size, world_size = shape
    if rows < batch_size * world_size:
        with pytest.raises(ConfigError, match="cannot fill one step"):
            training_orders(shape, seed, drop_last=True)
        return
    batches = [batch for order in training_orders(shape, seed, drop_last=True) for batch in order.batches(0)]
    assert {len(batch) for batch in batches} == {batch_size}
    seen = np.concatenate(batches)
    assert len(set(seen.tolist())) == len(seen) == rows // (batch_size * world_size) * batch_size * world_size


@given(shape=SHAPES, seed=SEEDS, epoch=st.integers(0, 5))
def test_the_order_is_a_function_of_its_arguments_alone(shape: tuple[int, int, int], seed: int, epoch: int) -> None:
    first, second = training_orders(shape, seed)[0], training_orders(shape, seed)[0]
    second.batches(epoch + 1)  # what was asked before must not matter
    for one, other in zip(first.batches(epoch), second.batches(epoch), strict=True):
        np.testing.assert_array_equal(one, other)


@given(shape=SHAPES, seed=SEEDS)
def test_one_step_of_all_ranks_is_one_step_of_a_single_rank_with_their_joint_batch(
    shape: tuple[int, int, int], seed: int
) -> None:
    rows, batch_size, world_size = shape
    if batch_size == 1:
        return  # there the number of steps may differ, so that no rank runs dry
    (single,) = training_orders((rows, batch_size * world_size, 1), seed)
    steps = zip(*(order.batches(0) for order in training_orders(shape, seed)), strict=True)
    for joint, alone in zip(steps, single.batches(0), strict=True):
        assert sorted(np.concatenate(joint).tolist()) == sorted(alone.tolist())


@given(shape=SHAPES)
def test_evaluation_has_every_row_exactly_once_and_equally_many_batches_on_each_rank(
    shape: tuple[int, int, int],
) -> None:
    rows, batch_size, world_size = shape
    orders = [EvaluationOrder(lengths_of(rows), batch_size, Ranks(rank, world_size)) for rank in range(world_size)]
    assert len({len(order.batches()) for order in orders}) == 1
    assert sorted(row for order in orders for batch in order.batches() for row in batch) == list(range(rows))


def test_evaluation_begins_with_the_longest_rows() -> None:
    lengths = lengths_of(50)
    first = EvaluationOrder(lengths, 8).batches()[0]
    assert lengths[first].min() >= np.sort(lengths)[-8]


def test_different_epochs_and_seeds_give_different_orders() -> None:
    (order,) = training_orders((100, 8, 1), seed=3)
    (other,) = training_orders((100, 8, 1), seed=4)
    flat = [np.concatenate(batches).tolist() for batches in (order.batches(0), order.batches(1), other.batches(0))]
    assert flat[0] != flat[1]
    assert flat[0] != flat[2]


@pytest.mark.parametrize("rows", [12, 40])
def test_a_row_meets_most_others_over_the_epochs_however_few_there_are(rows: int) -> None:
    """A bucket as long as the epoch would give the same groups of rows in every epoch."""
    (order,) = training_orders((rows, 4, 1), seed=0)
    batches = [batch.tolist() for epoch in range(2000) for batch in order.batches(epoch)]
    met = {(one, other) for batch in batches for one in batch for other in batch}
    assert len(met) >= 0.9 * rows * rows, "only the longest and the shortest rows may stay apart"


def padding_share(batches: list[np.ndarray], lengths: np.ndarray) -> float:
    """Share of the tokens that are padding when each batch is padded to its longest row."""
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1.0 - sum(int(lengths[batch].sum()) for batch in batches) / padded


def test_sorting_by_length_takes_most_of_the_padding_away() -> None:
    lengths = lengths_of(2000)
    shuffled, bucketed = (
        TrainingOrder(lengths, draw=lambda epoch: np.arange(2000), batch_size=32, bucket_steps=steps)
        for steps in (1, 16)
    )
    without, within = padding_share(shuffled.batches(0), lengths), padding_share(bucketed.batches(0), lengths)
    assert without > 0.4
    assert within < without / 5


def test_padding_share_of_hand_counted_batches() -> None:
    # Batches padded to 4 and 2 tokens: 4 + 4 + 2 = 10 places, of which 4 + 1 + 2 = 7 hold tokens.
    assert padding_share([np.array([0, 1]), np.array([2])], np.array([4, 1, 2])) == pytest.approx(0.3)


def test_fewer_rows_than_ranks_are_refused_before_a_rank_waits_for_ever() -> None:
    with pytest.raises(ConfigError, match="2 rows are too few for 3 ranks"):
        EvaluationOrder(np.array([3, 4]), 8, Ranks(0, 3))


@pytest.mark.parametrize(("batch_size", "bucket_steps"), [(0, 4), (4, 0)])
def test_sizes_below_one_are_refused(batch_size: int, bucket_steps: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        TrainingOrder(np.array([3, 4]), lambda epoch: np.arange(2), batch_size, bucket_steps=bucket_steps)
