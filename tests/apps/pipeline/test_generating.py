import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from apps.pipeline.generating import generate_to, read_rows, sample_to, sampler_of
from apps.pipeline.stages import StopAsked
from nines import stop_requests
from nines.errors import UserError
from nines.policies.attempts import Policy
from nines.policies.base import BasePolicy
from nines.policies.options import SamplingOptions
from nines.policies.sampler import Sampler
from nines.stop_requests import Stop

PROMPTS = [f"The door opened on {number} people." for number in range(6)]
OPTIONS = SamplingOptions(max_new_tokens=5)


def make() -> tuple[Sampler, Policy]:
    sampler = sampler_of("tiny:llama", OPTIONS, rows=4, device="cpu")
    return sampler, BasePolicy(sampler)


def never() -> tuple[Sampler, Policy]:
    raise AssertionError("what is there must not be made again")


def test_completions_and_their_cost_are_written_once(tmp_path: Path) -> None:
    file = tmp_path / "base.jsonl"
    rows, cost = generate_to(file, PROMPTS, seed=0, make=make)
    assert [row["prompt"] for row in rows] == PROMPTS
    assert cost.drawn_tokens == sum(attempt["drawn_tokens"] for row in rows for attempt in row["attempts"])
    assert cost.seconds > 0
    assert generate_to(file, PROMPTS, seed=0, make=never) == (rows, cost)


def test_a_file_whose_cost_was_never_written_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "base.jsonl"
    file.write_text("cut in the")
    rows, _ = generate_to(file, PROMPTS, seed=0, make=make)
    assert len(rows) == len(PROMPTS)


def test_a_request_to_stop_leaves_no_half_file(tmp_path: Path) -> None:
    with stop_requests.listening():
        policy = make()
        stop_requests.request(Stop.END, "test")
        with pytest.raises(StopAsked):
            generate_to(tmp_path / "base.jsonl", PROMPTS, seed=0, make=lambda: policy)
    assert list(tmp_path.iterdir()) == []


def test_several_completions_of_each_prompt_are_drawn_and_written(tmp_path: Path) -> None:
    sampler, _ = make()
    pairs = sample_to(tmp_path / "c.jsonl", PROMPTS, each=3, seed=1, sampler=sampler)
    assert [(row["prompt"], row["completion"]) for row in read_rows(tmp_path / "c.jsonl")] == pairs
    assert {prompt for prompt, _ in pairs} <= set(PROMPTS)
    assert all(text for _, text in pairs)
    assert len({text for _, text in pairs}) > len(PROMPTS)


def test_a_base_policy_that_says_nothing_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    class Silent:
        def sample(self, prompts: list[str], *, completions: int, seed: int) -> list[list[SimpleNamespace]]:
            return [
                [SimpleNamespace(text="So." if place == 0 else "") for place in range(completions)] for _ in prompts
            ]

    with pytest.raises(UserError, match=r"says nothing: \d+ of \d+ completions are empty.*end_token=false"):
        sample_to(tmp_path / "c.jsonl", PROMPTS, each=3, seed=1, sampler=Silent())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_rare_line_ends_within_a_text_do_not_end_a_row(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "one\u2028two\x85"}, ensure_ascii=False) + "\n")
    assert read_rows(tmp_path / "rows.jsonl") == [{"text": "one\u2028two\x85"}]
