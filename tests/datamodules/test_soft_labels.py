import json
from pathlib import Path

import numpy as np
import pytest

from datamodules.completions import LabelledCompletions
from datamodules.mixture import MixtureOptions, make_mixture
from datamodules.schema import LabelledCompletion
from datamodules.soft_labels import read_scores, taught
from nines.errors import ConfigError, DataError

ROWS = [
    LabelledCompletion("It rained.", "He fell and broke an arm.", "yes", "1", "a", "plain"),
    LabelledCompletion("It rained.", "He read.", "no", "2", "a", "plain"),
    LabelledCompletion("Late.", "Perhaps it hurt.", "unsure", "3", "b", "plain"),
]


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def scored(rows: list[LabelledCompletion], *scores: float) -> list[dict[str, object]]:
    return [
        {"prompt": row.prompt, "completion": row.completion, "score": score, "label": row.label}
        for row, score in zip(rows, scores, strict=True)
    ]


def test_scores_take_the_place_of_labels_and_rows_and_weights_stay(tmp_path: Path) -> None:
    mixture = make_mixture(ROWS, MixtureOptions())
    found = taught(mixture, ROWS, written(tmp_path / "teacher.jsonl", scored(ROWS, 0.7, 0.1, 0.4)))
    assert found.targets == pytest.approx([0.7, 0.1, -1.0])  # the unsure row is not trained on
    assert (found.weights == mixture.weights).all()
    assert found.counts() == pytest.approx((0.8, 1.2))
    assert mixture.targets.tolist() == [1.0, 0.0, -1.0]


def test_scores_that_all_lie_on_one_side_are_trained_on(tmp_path: Path) -> None:
    mixture = make_mixture(ROWS, MixtureOptions())
    found = taught(mixture, ROWS, written(tmp_path / "teacher.jsonl", scored(ROWS, 0.3, 0.1, 0.4)))
    assert found.draw(0).tolist() == [0, 1]
    assert found.counts() == pytest.approx((0.4, 1.6))


def test_a_row_without_a_score_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "teacher.jsonl", scored(ROWS[:1], 0.7))
    with pytest.raises(DataError, match="no score for 1 of 2 training rows, such as '2'"):
        taught(make_mixture(ROWS, MixtureOptions()), ROWS, file)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "p", "completion": "c"}, "score must be a number"),
        ({"prompt": "p", "completion": "c", "score": 1.5}, r"in \[0, 1\], got 1.5"),
        ({"prompt": "p", "completion": "c", "score": True}, "got True"),
        ({"prompt": 1, "completion": "c", "score": 0.5}, "must be text"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(tmp_path: Path, row: dict[str, object], reason: str) -> None:
    file = written(tmp_path / "teacher.jsonl", [*scored(ROWS[:1], 0.5), row])
    with pytest.raises(DataError, match=f"line 2: .*{reason}"):
        read_scores(file)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nines predict"):
        read_scores(tmp_path / "none.jsonl")


def test_the_data_module_trains_on_the_scores(tmp_path: Path) -> None:
    file = tmp_path / "teacher.jsonl"
    module = LabelledCompletions(tokenizer="tiny:bert", max_tokens=64, limit_rows=40, soft_labels=str(file))
    rows = module.completions("train")
    scores = np.linspace(0, 1, len(rows))
    written(file, scored(rows, *scores.tolist()))
    kept = module.mixture().rows
    assert module.mixture().targets[kept] == pytest.approx(scores[kept].astype(np.float32))
    seen = {
        int(row): float(target)
        for batch in module.train_dataloader()
        for row, target in zip(batch["row"], batch["target"], strict=True)
    }
    assert seen == pytest.approx({int(row): scores[row] for row in kept}, abs=1e-6)


def test_simulated_labellers_cannot_read_what_a_teacher_says() -> None:
    with pytest.raises(ConfigError, match="soft_labels replaces labels"):
        LabelledCompletions(tokenizer="tiny:bert", max_tokens=64, soft_labels="t.jsonl", readings=3)
