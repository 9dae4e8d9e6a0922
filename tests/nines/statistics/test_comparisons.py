import numpy as np
import pytest

from nines.statistics.comparisons import JudgedPairs, reader_agreement


def judged(
    readings: list[list[int]], *, prompts: list[int] | None = None, outcomes: list[int] | None = None
) -> JudgedPairs:
    width = max(len(row) for row in readings)
    padded = np.array([row + [0] * (width - len(row)) for row in readings], dtype=np.int8)
    shares = np.array([[1 / len(row)] * len(row) + [0.0] * (width - len(row)) for row in readings], dtype=np.float32)
    agreed = [row[0] if len(set(row)) == 1 else 0 for row in readings]
    return JudgedPairs(
        outcomes=np.array(agreed, dtype=np.int8),
        readings=padded,
        shares=shares,
        clarity=np.abs(padded).astype(np.float32),
        prompts=np.array(prompts or range(len(readings)), dtype=np.int64),
        lengths=np.tile(np.array([[10, 20]]), (len(readings), 1)),
    )


def test_agreement_is_over_pairs_that_were_read_twice() -> None:
    found = reader_agreement(judged([[1, 1], [1, -1], [0, 0], [-1, -1], [1], [-1]]))
    assert found.all_pairs.items == 4
    assert found.all_pairs.estimate == pytest.approx(3 / 4)


def test_the_decided_agreement_asks_each_reading_that_has_a_preference() -> None:
    """(1, 1) gives 2 of 2; (1, 0) gives 0 of 1, since the tie asks nothing; (0, 0) gives nothing."""
    found = reader_agreement(judged([[1, 1], [1, 0], [0, 0]]))
    assert found.decided.items == 3
    assert found.decided.estimate == pytest.approx(2 / 3)


def test_a_pair_that_was_read_three_times_weighs_as_much_as_one_read_twice() -> None:
    found = reader_agreement(judged([[1, 1, 1], [1, -1]]))
    assert found.all_pairs.estimate == pytest.approx(0.5)


def test_agreement_without_second_readings_is_unknown() -> None:
    found = reader_agreement(judged([[1], [-1]]))
    assert np.isnan(found.all_pairs.estimate)
    assert (found.all_pairs.lower, found.all_pairs.upper) == (0.0, 1.0)


def test_pairs_of_one_prompt_widen_the_interval() -> None:
    readings = [[1, 1], [1, 1], [1, -1], [1, -1]] * 10
    apart = reader_agreement(judged(readings)).all_pairs
    together = reader_agreement(judged(readings, prompts=[row // 2 for row in range(40)])).all_pairs
    assert together.upper - together.lower > 1.2 * (apart.upper - apart.lower)


def test_targets_count_a_tie_as_half_a_win() -> None:
    assert judged([[1], [-1], [0], [1, -1], [1, 0]]).targets.tolist() == pytest.approx([1, 0, 0.5, 0.5, 0.75])


def test_numbers_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="1, 0 or -1"):
        judged([[2]])
