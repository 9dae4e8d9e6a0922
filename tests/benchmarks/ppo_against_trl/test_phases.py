import pytest

from benchmarks.ppo_against_trl import phases
from benchmarks.ppo_against_trl.phases import REST, SAMPLING, UPDATES, WHOLE, PhaseClock


def test_what_is_in_no_phase_is_the_rest_and_iterations_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.0, 2.0, 5.0, 6.0, 10.0, 11.0, 11.0, 13.0, 14.0, 15.0, 15.0])
    monkeypatch.setattr(phases, "_now", lambda: (now := next(moments), 2 * now))
    clock = PhaseClock()  # at 0
    clock.begin()  # at 1
    with clock.phase(SAMPLING):  # 2 to 5
        pass
    clock.start(UPDATES)  # at 6
    clock.stop(UPDATES)  # at 10
    clock.end_iteration()  # at 11, where the next begins
    clock.start(UPDATES)  # at 13
    clock.stop(UPDATES)  # at 14
    clock.stop(UPDATES)  # runs no more
    clock.end_iteration()  # at 15
    first, second = clock.iterations
    assert first == {WHOLE: (10.0, 20.0), SAMPLING: (3.0, 6.0), UPDATES: (4.0, 8.0), REST: (3.0, 6.0)}
    assert second == {WHOLE: (4.0, 8.0), SAMPLING: (0.0, 0.0), UPDATES: (1.0, 2.0), REST: (3.0, 6.0)}
