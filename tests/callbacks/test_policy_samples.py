import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callbacks.policy_samples import PolicySamples, most_changed, samples_table
from nines.errors import ConfigError


def sample(number: int, gain: float) -> Any:
    return SimpleNamespace(
        prompt=f"Prompt {number} | with a bar",
        completion=f"completion {number}",
        base=f"base {number}",
        judged={"score": gain},
        base_judged={"score": 0.0},
    )


ROWS = [sample(number, gain) for number, gain in enumerate([0.1, -3.0, 2.0, 0.0, 5.0, -1.0])]


def test_the_greatest_gains_and_losses_are_shown():
    assert [one.judged["score"] for one in most_changed(ROWS, 3)] == [5.0, 2.0, -3.0]
    assert [one.judged["score"] for one in most_changed(ROWS, 10)] == [5.0, 2.0, 0.1, 0.0, -1.0, -3.0]


def test_a_bar_in_a_text_does_not_end_its_cell_and_a_long_prompt_keeps_its_end():
    table = samples_table(ROWS[:1], prompt_characters=12).splitlines()
    assert len(table) == 3
    assert table[2].startswith("| …\\| with a bar | completion 0 |")
    assert samples_table(ROWS[:1], prompt_characters=100).count("\\|") == 1


def test_every_held_out_prompt_is_written_and_the_latest_evaluation_replaces_the_one_before(tmp_path: Path):
    callback = PolicySamples(count=2)
    module: Any = SimpleNamespace(held_out=lambda split: ROWS)
    for step in (1, 2):
        trainer: Any = SimpleNamespace(
            is_global_zero=True, sanity_checking=False, global_step=step, loggers=[], default_root_dir=str(tmp_path)
        )
        callback.on_validation_end(trainer, module)
    callback.on_test_end(trainer, module)
    written = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [row["split"] for row in written] == ["valid"] * 6 + ["test"] * 6
    assert {row["step"] for row in written} == {2}
    assert written[1]["base"] == "base 1"


def test_nothing_to_show_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        PolicySamples(count=0)
