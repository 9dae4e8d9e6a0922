"""Ranks with other numbers of rows in one step train as one process does that has all of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules import completions
from tests.lightning_modules.rank_trainings import assert_same_training, trained

pytestmark = pytest.mark.slow

# A row that counted double would move weights by the learning rate, 1e-2. Adam makes of a gradient that is rounding
# alone, which differs from CPU to CPU, a step of visible size.
NEAR = {"atol": 5e-5, "rtol": 2e-4}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_row_counts_alike_on_one_rank_and_on_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    """61 rows in 4 steps: each has an odd number of them, or is one longer than the next. Weights go from 0.1 to 4."""
    pytest.importorskip("deepspeed")
    usual = completions.with_targets

    def weighted(collate: Any, targets: Any, weights: Any) -> Any:
        return usual(collate, targets, weights * np.geomspace(0.1, 4.0, len(weights)).astype(np.float32))

    monkeypatch.setattr(completions, "with_targets", weighted)
    options: dict[str, Any] = {
        "arguments": {"clipping": {"_target_": "nines.clipping.norm.NormClipping", "max_norm": 0.4}},
        "data": {"rows": 61, "drop_last": False},
        "trainer": {"accumulate_grad_batches": accumulate},
    }
    one, ddp, zero = (trained(tmp_path, name, **options) for name in ("one", "ddp", "zero2"))
    for two in (ddp, zero):
        # A loss is that of a rank's own rows; everything that follows from all of them is the same.
        assert_same_training({**two, "losses": one["losses"]}, one, **NEAR)
    assert_same_training(zero, ddp, **NEAR)
