import dataclasses

import pytest

from benchmarks.ppo_against_trl.children import speeds
from benchmarks.ppo_against_trl.ours import module, run
from benchmarks.ppo_against_trl.phases import PHASES, WHOLE
from tests.benchmarks.ppo_against_trl.tiny_setting import tiny


def test_the_tiny_mode_trains_and_times_every_phase() -> None:
    setting = tiny()
    found = run(setting)
    assert len(found["seconds"]) == len(found["score"]) == len(found["kl"]) == setting.iterations == 2
    assert found["first_ratio"] == [1.0, 1.0]
    assert found["kl"][0] == 0.0
    assert all(-1 <= score <= 0 for score in found["score"])
    assert all(one[phase][1] > 0 for one in found["seconds"] for phase in PHASES)
    whole, *parts = (found["seconds"][0][phase][0] for phase in PHASES)
    assert whole == pytest.approx(sum(parts))
    assert speeds(found["seconds"], batch=setting.batch, warm_up=1)[WHOLE].wall > 0


@pytest.mark.parametrize("together", [False, True])
def test_siblings_share_their_minibatch_where_the_setting_asks_for_it(together: bool) -> None:
    setting = dataclasses.replace(tiny(), minibatch=6, siblings_together=together)
    assert module(setting).options.keep_siblings_together is together
