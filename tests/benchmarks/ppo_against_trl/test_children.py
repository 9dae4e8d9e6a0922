import pytest

from benchmarks.ppo_against_trl.children import SideFailed, run_side, speeds
from benchmarks.ppo_against_trl.phases import REST, SAMPLING, UPDATES, WHOLE
from benchmarks.ppo_against_trl.setting import Setting


def test_speed_is_completions_over_the_seconds_of_the_timed_iterations() -> None:
    slow = dict.fromkeys((WHOLE, SAMPLING, REST, UPDATES), (100.0, 100.0))
    first = {WHOLE: (4.0, 2.0), SAMPLING: (1.0, 0.5), REST: (1.0, 0.5), UPDATES: (2.0, 1.0)}
    found = speeds([slow, first, first], batch=8, warm_up=1)
    assert (found[WHOLE].wall, found[WHOLE].processor) == (2.0, 4.0)
    assert (found[UPDATES].wall, found[UPDATES].processor) == (4.0, 8.0)


def test_a_side_that_fails_says_why() -> None:
    setting = Setting(model="/nowhere", prompts=["It was late."], tokens=[[1]], pad=0, completions=2, minibatch=2)
    with pytest.raises(SideFailed, match="there is no folder"):
        run_side("ours", setting)
