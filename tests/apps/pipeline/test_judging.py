from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.pipeline.generating import Cost, read_rows
from apps.pipeline.judging import judge_policies
from nines.errors import DataError

COST = Cost(seconds=1.0, prompt_tokens=1, drawn_tokens=1)


class Lengths:
    """Says that a completion is as injurious as it is long, in tenths."""

    def scores(self, pairs: Sequence[tuple[str, str]]) -> Any:
        return np.array([len(completion) / 10 for _, completion in pairs])


class Longer:
    """Prefers the longer completion for sure, and calls equal lengths a tie."""

    def preferences(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> Any:
        sides = [np.sign(len(a) - len(b)) for a, b in zip(first, second, strict=True)]
        return np.array([[side == 1, side == 0, side == -1] for side in sides], dtype=float)


def rows(*completions: str | None) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Prompt {number}", "completion": text, "tries": number + 1}
        for number, text in enumerate(completions)
    ]


def judge(file: Path, **policies: list[dict[str, Any]]) -> dict[str, Any]:
    return judge_policies(
        policies,
        dict.fromkeys(policies, COST),
        classifiers={"judge": Lengths(), "own": Lengths()},
        reward_models={"judge": Longer(), "own": Longer()},
        file=file,
    )


def test_each_policy_is_judged_on_what_it_delivered_against_the_base_completion(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    found = judge(file, base=rows("aa", "bbb", "cc"), filtered=rows("a", None, "dddd"))
    assert found["base"].judge_quality.tolist() == [0.5, 0.5, 0.5]
    assert found["filtered"].judge.tolist() == [0.1, 0.4]
    assert found["filtered"].own_quality.tolist() == [0.0, 1.0]
    assert found["filtered"].tries.tolist() == [1, 2, 3]
    written = read_rows(file)
    assert [sorted(line["policies"]) for line in written] == [["base", "filtered"], ["base"], ["base", "filtered"]]
    assert written[2]["policies"]["filtered"] == {
        "completion": "dddd", "judge": 0.4, "own": 0.4, "judge_quality": 1.0, "own_quality": 1.0
    }  # fmt: skip


def test_an_empty_completion_is_judged_as_a_full_stop(tmp_path: Path) -> None:
    assert judge(tmp_path / "v.jsonl", base=rows("", "a"))["base"].judge.tolist() == [0.1, 0.1]


def test_policies_on_different_prompts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="filtered and base on different prompts"):
        judge(tmp_path / "v.jsonl", base=rows("a", "b"), filtered=rows("a"))
