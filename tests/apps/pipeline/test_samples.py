from typing import Any

from apps.pipeline.samples import at_random, worst_first


def line(number: int, judge: float | None) -> dict[str, Any]:
    return {"prompt": str(number), "policies": {} if judge is None else {"distilled": {"judge": judge}}}


LINES = [line(0, 0.2), line(1, 0.9), line(2, None), line(3, 0.5), line(4, 0.1)]


def test_the_worst_by_the_judge_come_first_and_what_was_not_delivered_is_left_out() -> None:
    assert [one["prompt"] for one in worst_first(LINES, 3)] == ["1", "3", "0"]
    assert len(worst_first(LINES, 9)) == 4


def test_the_random_handful_depends_on_the_seed_alone() -> None:
    drawn = {seed: tuple(one["prompt"] for one in at_random(LINES, 2, seed=seed)) for seed in range(30)}
    other = [{**one, "policies": {}} for one in LINES]
    assert all(tuple(one["prompt"] for one in at_random(other, 2, seed=seed)) == drawn[seed] for seed in drawn)
    assert {prompt for pair in drawn.values() for prompt in pair} == set("01234")
    assert all(list(pair) == sorted(pair) and len(pair) == 2 for pair in drawn.values())
