import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.cli import main
from datamodules.reading import read
from nines.statistics.weighted_rates import horvitz_thompson

PROMPTS, COMPLETIONS = 60, 5


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    return write(
        tmp_path / "pool.jsonl",
        [
            {
                "prompt": f"The shelf number {prompt} tilted.",
                "completion": f"It fell on {number} of them.",
                "score": float(rng.beta(0.3, 3)),
            }
            for prompt in range(PROMPTS)
            for number in range(COMPLETIONS)
        ],
    )


def answer(path: Path, *, rate: float = 1.0) -> dict[str, str]:
    """Fill in what a labeller would: items of a high score are injurious."""
    rows = rows_of(path)
    for row in rows:
        row["label"] = "yes" if row["score"] * rate > 0.5 else "no"
    write(path, rows)
    return {row["id"]: row["label"] for row in rows}


def plan(pool: Path, output: Path, *more: str) -> int:
    return main(["label", "plan", str(pool), "--budget", "80", "--output", str(output), *more])


def test_a_plan_holds_what_the_estimate_needs(pool: Path, tmp_path: Path, capsys: Any) -> None:
    assert plan(pool, tmp_path / "one.jsonl", "--seed", "3") == 0
    rows = rows_of(tmp_path / "one.jsonl")
    assert 79 <= len(rows) <= 81
    first = rows[0]
    assert first["label"] is None
    assert (first["round"], first["seed"], first["drawn"], first["importance"]) == (1, 3, COMPLETIONS, 80)
    assert first["share"] == pytest.approx(1 / (PROMPTS * COMPLETIONS))
    assert max(row["share"] / row["round_probability"] for row in rows) <= first["heaviest"] * (1 + 1e-9)
    assert "nines label ingest" in capsys.readouterr().out
    plan(pool, tmp_path / "again.jsonl", "--seed", "3")
    assert rows_of(tmp_path / "again.jsonl") == rows


def test_two_rounds_are_merged_into_an_estimate_and_rows_to_train_on(pool: Path, tmp_path: Path, capsys: Any) -> None:
    one, two, output = tmp_path / "one.jsonl", tmp_path / "two.jsonl", tmp_path / "labelled.jsonl"
    plan(pool, one, "--method", "neyman")
    known = answer(one)
    assert plan(pool, two, "--method", "oasis", "--after", str(one)) == 0
    assert not known.keys() & {row["id"] for row in rows_of(two)}
    answer(two)
    figures = tmp_path / "figures.json"
    command = ["label", "ingest", str(one), str(two), "--output", str(output), "--json", str(figures)]
    assert main(command) == 0
    found = json.loads(figures.read_text())["failure_rate"]["yes"]["safe"]
    truth = np.mean([row["score"] > 0.5 for row in rows_of(pool)])
    assert found["lower"] <= truth <= found["upper"]
    (rows,) = [rows for rows in read(str(output), shares=(1.0, 0.0, 0.0)).values() if rows]
    weights = np.array([row.natural_weight for row in rows])
    share = (weights * [row.label == "yes" for row in rows]).sum() / weights.sum()
    assert share == pytest.approx(found["estimate"], rel=0.25)  # Hájek against Des Raj
    assert "whatever the scores are worth" in capsys.readouterr().out


def test_one_round_gives_the_horvitz_thompson_estimate(pool: Path, tmp_path: Path) -> None:
    one, figures = tmp_path / "one.jsonl", tmp_path / "figures.json"
    plan(pool, one)
    answer(one)
    assert main(["label", "ingest", str(one), "--json", str(figures)]) == 0
    rows = rows_of(one)
    expected = horvitz_thompson(
        [row["label"] == "yes" for row in rows],
        [row["round_probability"] for row in rows],
        shares=[row["share"] for row in rows],
        clusters=[row["prompt_id"] for row in rows],
        heaviest=rows[0]["heaviest"],
    )
    assert json.loads(figures.read_text())["failure_rate"]["yes"]["safe"] == expected.as_json()


def test_unsure_answers_give_both_bounds(pool: Path, tmp_path: Path, capsys: Any) -> None:
    one = tmp_path / "one.jsonl"
    plan(pool, one)
    answer(one)
    rows = rows_of(one)
    rows[0]["label"] = "unsure"
    write(one, rows)
    assert main(["label", "ingest", str(one)]) == 0
    assert "counting yes or unsure" in capsys.readouterr().out


def test_a_plan_for_the_filtered_policy_leaves_out_what_it_never_delivers(pool: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.jsonl"
    assert plan(pool, one, "--threshold", "0.3", "--max-tries", "4") == 0
    assert all(row["score"] < 0.3 for row in rows_of(one))


def test_answers_in_files_of_their_own_are_joined_by_id(pool: Path, tmp_path: Path) -> None:
    one, answers = tmp_path / "one.jsonl", tmp_path / "answers.jsonl"
    plan(pool, one)
    write(answers, [{"id": row["id"], "label": "no"} for row in rows_of(one)])
    assert main(["label", "ingest", str(one), "--answers", str(answers)]) == 0


def test_each_wrong_answer_is_named_with_file_and_line(pool: Path, tmp_path: Path, capsys: Any) -> None:
    one, answers = tmp_path / "one.jsonl", tmp_path / "answers.jsonl"
    plan(pool, one)
    ids = [row["id"] for row in rows_of(one)]
    given = [{"id": name, "label": "no"} for name in ids[:-1]]
    given[2]["label"] = "maybe"
    write(answers, [*given, given[0], {"id": "stranger", "label": "yes"}])
    assert main(["label", "ingest", str(one), "--answers", str(answers)]) == 2
    said = capsys.readouterr().err
    count = len(ids)
    assert f"{answers}, line 3, field 'label': unknown value 'maybe'" in said
    assert f"{answers}, line {count}, field 'id': '{ids[0]}' is answered in {answers}, line 1, too" in said
    assert f"{answers}, line {count + 1}, field 'id': 'stranger' is in none of the plans" in said
    assert f"{one}, line {count}, id '{ids[-1]}': missing: nobody has answered" in said


def test_an_unanswered_or_repeated_or_missing_round_is_refused(pool: Path, tmp_path: Path, capsys: Any) -> None:
    one, two, other = tmp_path / "one.jsonl", tmp_path / "two.jsonl", tmp_path / "other.jsonl"
    plan(pool, one)
    assert main(["label", "ingest", str(one)]) == 2
    assert f"{one}, line 1, field 'label': missing: nobody has answered" in capsys.readouterr().err
    answer(one)
    assert main(["label", "ingest", str(one), str(one)]) == 2
    assert "an item is labelled once" in capsys.readouterr().err
    plan(pool, two, "--after", str(one))
    answer(two)
    assert main(["label", "ingest", str(two)]) == 2
    assert "rounds 2: an estimate needs every round from 1 on" in capsys.readouterr().err
    rows = [row for row in rows_of(pool) if row["completion"].startswith("It fell on 1")]
    write(other, rows)
    assert (
        main(["label", "plan", str(other), "--budget", "5", "--output", str(tmp_path / "x.jsonl"), "--after", str(one)])
        == 2
    )
    assert "another pool" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--threshold", "0.5"], "belong together"),
        (["--fallback", "safest"], "belong to a filtered policy"),
        (["--floor", "0"], "--floor 0.0"),
        (["--target-rate", "2"], "--target-rate 2.0"),
        (["--threshold", "0.5", "--max-tries", "9"], "has 5 completions, and the policy tries up to 9"),
    ],
)
def test_plans_that_cannot_be_made_are_refused_in_one_line(
    pool: Path, tmp_path: Path, capsys: Any, more: list[str], said: str
) -> None:
    assert plan(pool, tmp_path / "one.jsonl", *more) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "one.jsonl").exists()


def test_an_answered_plan_is_never_overwritten(pool: Path, tmp_path: Path, capsys: Any) -> None:
    one = tmp_path / "one.jsonl"
    plan(pool, one)
    before = one.read_text()
    assert plan(pool, one) == 2
    assert "none is overwritten" in capsys.readouterr().err
    assert one.read_text() == before


def test_rows_of_a_pool_that_are_wrong_are_named(tmp_path: Path, capsys: Any) -> None:
    bad = write(
        tmp_path / "pool.jsonl",
        [
            {"prompt": "A.", "completion": "B.", "score": 0.1},
            {"prompt": "A.", "completion": "B.", "score": 0.1},
            {"prompt": "A.", "completion": 3, "score": "high"},
        ],
    )
    assert plan(bad, tmp_path / "one.jsonl") == 2
    said = capsys.readouterr().err
    assert "line 2, field 'id'" in said
    assert "line 3, field 'completion': must be text" in said
    assert "line 3, field 'score': must be a number" in said
    scoreless = write(tmp_path / "bare.jsonl", [{"prompt": "A.", "completion": f"{i}."} for i in range(100)])
    assert plan(scoreless, tmp_path / "one.jsonl") == 2
    assert "give --classifier" in capsys.readouterr().err
    assert plan(scoreless, tmp_path / "one.jsonl", "--method", "uniform") == 0
