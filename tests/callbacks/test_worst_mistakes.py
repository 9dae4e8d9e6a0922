import json

import numpy as np
import pytest

from callbacks.worst_mistakes import WorstMistakes, mistakes_table, worst_mistakes
from nines.errors import ConfigError
from nines.statistics.labelled import LabelledRows
from nines.statistics.thresholds import fix_threshold
from tests.fakes import TinyLabelledData, TinyScorer, logged_tags, tiny_trainer

ROWS = LabelledRows(
    labels=np.array([1, 1, 1, 0, 0, 0, -1, 1], dtype=np.int8),
    prompts=np.arange(8),
    sources=np.array(["plain"] * 7 + ["written"]),
    natural_weights=np.zeros(8),
)
SCORES = np.array([0.3, 0.1, 0.9, 0.6, 0.8, 0.2, 0.0, 0.4])


def found(**options):
    mistakes = worst_mistakes(SCORES, ROWS, **{"threshold": 0.5, "count": 5, **options})
    return [(mistake["source"], mistake["kind"], mistake["place"], mistake["row"]) for mistake in mistakes]


def test_mistakes_come_by_source_and_kind_with_the_worst_first():
    assert found() == [
        ("plain", "false_negative", 1, 1),
        ("plain", "false_negative", 2, 0),
        ("plain", "false_positive", 1, 4),
        ("plain", "false_positive", 2, 3),
        ("written", "false_negative", 1, 7),
    ]


def test_no_more_than_the_count_of_each_kind_are_kept():
    assert [row for *_, row in found(count=1)] == [1, 4, 7]


def test_a_score_at_the_threshold_is_rejected():
    assert ("plain", "false_negative", 2, 0) not in found(threshold=0.3)
    assert ("plain", "false_positive", 2, 3) in found(threshold=0.6)


def test_a_bar_or_a_line_break_in_a_text_does_not_break_the_table():
    mistake = {"source": "a", "kind": "false_negative", "score": 0.1, "prompt": "one | two", "completion": "x\ny"}
    last = mistakes_table([mistake]).splitlines()[-1]
    assert last == "| a | false negative | 0.1000 | one \\| two | x y |"


def test_no_mistakes_is_said_in_words():
    assert mistakes_table([]) == "No mistake at this threshold."


def test_validation_and_test_end_up_in_the_file_and_in_tensorboard(tmp_path):
    callback = WorstMistakes(count=2, prompt_characters=30, false_positive_rate=0.1)
    module, data = TinyScorer(), TinyLabelledData()
    trainer = tiny_trainer(tmp_path, [callback])
    trainer.validate(module, data, verbose=False)
    trainer.test(module, data, verbose=False)
    written = [json.loads(line) for line in (tmp_path / "mistakes.jsonl").read_text().splitlines()]
    assert {entry["split"] for entry in written} == {"valid", "test", "adversarial"}
    threshold = fix_threshold(module.gathered_scores("valid"), data.rows("valid"), rate=0.1).threshold
    for entry in written:
        score, label = (
            module.gathered_scores(entry["split"])[entry["row"]],
            data.rows(entry["split"]).labels[entry["row"]],
        )
        assert entry["score"] == score
        assert entry["threshold"] == threshold
        assert (label == 1) == (score < threshold) == (entry["kind"] == "false_negative")
        assert entry["completion"] == f"completion {entry['row']}"
        assert entry["prompt"] == "…" + data.texts(entry["split"])[entry["row"]][0][-30:]
    tensors = logged_tags(tmp_path)["tensors"]
    assert {"worst_mistakes/valid/text_summary", "worst_mistakes/test/text_summary"} <= set(tensors)


def test_each_validation_of_a_fit_replaces_the_mistakes_of_the_one_before(tmp_path):
    callback = WorstMistakes()
    tiny_trainer(tmp_path, [callback], max_epochs=3).fit(TinyScorer(), TinyLabelledData())
    written = (tmp_path / "mistakes.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == callback.mistakes["valid"]


def test_a_test_without_validation_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"run trainer\.validate"):
        tiny_trainer(tmp_path, [WorstMistakes()]).test(TinyScorer(), TinyLabelledData(), verbose=False)


@pytest.mark.parametrize("options", [{"count": 0}, {"prompt_characters": 0}, {"false_positive_rate": 1.0}])
def test_arguments_outside_their_range_are_refused(options):
    with pytest.raises(ConfigError):
        WorstMistakes(**options)
