import pytest

from benchmarks.ppo_against_trl.children import run_side
from benchmarks.ppo_against_trl.environment import interpreter
from tests.benchmarks.ppo_against_trl.tiny_setting import tiny


@pytest.mark.slow
@pytest.mark.skipif(interpreter() is None, reason="TRL's environment is not made; python -m benchmarks.ppo_against_trl")
def test_the_peer_trains_as_many_iterations_from_the_same_policy() -> None:
    setting = tiny()
    found = run_side("peer", setting)
    assert found["versions"]["trl"].startswith("1.12.")
    assert len(found["seconds"]) == len(found["score"]) == setting.iterations
    assert found["kl"][0] == pytest.approx(0.0, abs=1e-4)
    assert all(-1 <= score <= 0 for score in found["score"])
