import json

import numpy as np
import pytest

from apps.cli import main
from apps.quality_files import read_plan

PROMPTS = 60
THRESHOLD = 0.5


def attempt(index, text, score=None, accepted=None, finished=True):
    return {"index": index, "text": text, "score": score, "accepted": accepted, "finished": finished}


def line(number, attempts, chosen, **more):
    row = {"number": number, "prompt": f"Story {number}.", "chosen": chosen, "attempts": attempts, "gave_up": False}
    row |= {"completion": None if chosen is None else attempts[chosen]["text"], "threshold": None, "conservatism": None}
    return {**row, **more}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def files(tmp_path):
    """Every third base completion is rejected; every fourth filtered one took two tries."""
    base, filtered = [], []
    for number in range(PROMPTS):
        score = 0.9 if number % 3 == 0 else 0.1
        base.append({**line(number, [attempt(0, f"base {number}")], 0), "score": score})
        tries = [attempt(0, f"bad {number}", 0.8, False)] if number % 4 == 0 else []
        tries.append(attempt(len(tries), f"good {number}", 0.2, True))
        filtered.append(line(number, tries, len(tries) - 1, threshold=THRESHOLD))
    return write(tmp_path / "base.jsonl", base), write(tmp_path / "filtered.jsonl", filtered)


def plan(files, tmp_path, *options):
    folder = tmp_path / "plan"
    code = main(["quality", "plan", *map(str, files), "--output", str(folder), *options])
    return code, folder


def answers(folder, path, *, favours="filtered", count=None, judge="anna"):
    asked = [one for one in read_plan(folder)[0] if one.asked][:count]
    rows = [
        {"id": one.id, "preference": one.filtered if favours == "filtered" else "tie", "judge": judge} for one in asked
    ]
    return write(path, rows)


def figures(folder, *given):
    path = folder / "out.json"
    assert main(["quality", "estimate", str(folder), *map(str, given), "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_only_rejected_base_completions_are_asked_for_blind_and_with_random_sides(files, tmp_path, capsys):
    code, folder = plan(files, tmp_path)
    assert code == 0
    rows = [json.loads(row) for row in (folder / "to_judge.jsonl").read_text().splitlines()]
    assert len(rows) == PROMPTS // 3
    assert all(set(row) == {"id", "prompt", "a", "b"} for row in rows)
    assert {row["a"].split()[0] for row in rows} == {"base", "good"}  # either side stands first
    assert [row["prompt"] for row in rows] != sorted(row["prompt"] for row in rows)
    assert "60 pairs; 20 need a label (33.3%), 40 count without one" in capsys.readouterr().out


def test_the_estimate_counts_known_pairs_half_and_says_what_was_saved(files, tmp_path, capsys):
    _, folder = plan(files, tmp_path)
    found = figures(folder, answers(folder, tmp_path / "anna.jsonl"))
    assert found["quality"]["estimate"] == pytest.approx(0.5 + 0.5 / 3)
    assert (found["labelled"], found["needed"], found["saved_by_skipping"]) == (20, 20, 40)
    assert "40 labels saved" in capsys.readouterr().out


def test_a_start_of_the_random_order_stands_for_the_rest(files, tmp_path, capsys):
    _, folder = plan(files, tmp_path)
    half = figures(folder, answers(folder, tmp_path / "anna.jsonl", count=10))
    assert half["quality"]["estimate"] == pytest.approx(0.5 + 0.5 / 3)
    rows = answers(folder, tmp_path / "gap.jsonl").read_text().splitlines()
    (tmp_path / "gap.jsonl").write_text("\n".join(rows[:12] + rows[13:]))
    gap = figures(folder, tmp_path / "gap.jsonl")
    assert (gap["labelled"], gap["answers_not_used"]) == (12, 7)
    assert "behind the first unanswered pair" in capsys.readouterr().out


def test_fewer_labels_are_a_random_sample_with_its_probability(files, tmp_path):
    _, folder = plan(files, tmp_path, "--labels", "8")
    pairs, _ = read_plan(folder)
    assert sum(one.asked for one in pairs) == 8
    assert {one.probability for one in pairs if one.known is None} == {8 / 20}
    assert figures(folder, answers(folder, tmp_path / "anna.jsonl"))["quality"]["estimate"] == pytest.approx(2 / 3)


def test_two_judges_are_averaged_and_their_agreement_is_stated(files, tmp_path, capsys):
    _, folder = plan(files, tmp_path)
    one = answers(folder, tmp_path / "anna.jsonl")
    other = answers(folder, tmp_path / "ben.jsonl", favours="nobody", judge="ben")
    found = figures(folder, one, other)
    assert found["quality"]["estimate"] == pytest.approx(0.5 + 0.25 / 3)
    assert found["agreement"]["estimate"] < 0.5
    assert "Krippendorff" in capsys.readouterr().out


def test_a_sequence_says_when_to_stop(files, tmp_path, capsys):
    _, folder = plan(files, tmp_path)
    path = answers(folder, tmp_path / "anna.jsonl")
    assert main(["quality", "estimate", str(folder), str(path), "--sequential", "--level", "0.5"]) == 0
    assert "stop: quality is above the level" in capsys.readouterr().out
    few = answers(folder, tmp_path / "few.jsonl", count=3)
    assert main(["quality", "estimate", str(folder), str(few), "--sequential", "--half-width", "0.05"]) == 0
    assert "go on" in capsys.readouterr().out


def test_a_function_judges_and_its_judgements_are_corrected_by_answers(files, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "def judge(prompts, first, second):\n    return [float('good' in t) for t in first]\n"
    )
    monkeypatch.chdir(tmp_path)
    _, folder = plan(files, tmp_path)
    out = tmp_path / "model.jsonl"
    assert main(["quality", "judge", str(folder), "--function", "mine:judge", "--output", str(out)]) == 0
    assert all("share" in json.loads(row) for row in out.read_text().splitlines())
    found = figures(folder, answers(folder, tmp_path / "anna.jsonl", count=12), "--predictions", out)
    assert found["quality"]["estimate"] == pytest.approx(2 / 3)


def test_stored_answers_judge_by_the_texts(files, tmp_path):
    _, folder = plan(files, tmp_path)
    pairs = [one for one in read_plan(folder)[0] if one.known is None]
    rows = [{"prompt": one.prompt, "a": one.b, "b": one.a, "preference": "tie"} for one in pairs]
    stored, out = write(tmp_path / "stored.jsonl", rows), tmp_path / "stored_answers.jsonl"
    assert main(["quality", "judge", str(folder), "--stored", str(stored), "--output", str(out)]) == 0
    assert {json.loads(row)["share"] for row in out.read_text().splitlines()} == {0.5}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": None}, "without a filter"),
        ({"conservatism": 0.9}, "conservatism"),
        (
            {"attempts": [attempt(0, "good 7", 0.1, True), attempt(1, "x", 0.2, True)], "chosen": 0},
            "line 8 was not chosen",
        ),
    ],
)
def test_where_the_proof_fails_every_pair_is_asked_for(files, tmp_path, capsys, change, said):
    rows = [json.loads(row) for row in files[1].read_text().splitlines()]
    rows = [{**row, **change} if row["number"] == 7 or "attempts" not in change else row for row in rows]
    write(files[1], rows)
    code, folder = plan(files, tmp_path)
    assert code == 0
    assert sum(one.asked for one in read_plan(folder)[0]) == PROMPTS
    assert said in capsys.readouterr().out


def test_refusals_are_left_out_or_lost(files, tmp_path, capsys):
    rows = [json.loads(row) for row in files[1].read_text().splitlines()]
    rows[3] |= {"completion": None, "chosen": None, "gave_up": True, "attempts": [attempt(0, "bad", 0.9, False)]}
    write(files[1], rows)
    _, folder = plan(files, tmp_path)
    assert len(read_plan(folder)[0]) == PROMPTS - 1
    assert "1 prompts got no completion from the filtered policy: left out" in capsys.readouterr().out
    _, folder = plan(files, tmp_path, "--refused", "lost")
    found = figures(folder, answers(folder, tmp_path / "anna.jsonl"))
    assert found["quality"]["estimate"] == pytest.approx((19 + 40 / 2) / 60)


def test_a_completion_that_was_cut_needs_a_label_on_either_side(files, tmp_path):
    rows = [json.loads(row) for row in files[1].read_text().splitlines()]
    rows[1]["attempts"][-1]["finished"] = False
    write(files[1], rows)
    _, folder = plan(files, tmp_path)
    assert {one.number: one.known for one in read_plan(folder)[0]}[1] is None


def test_mistakes_are_told_with_file_and_line(files, tmp_path, capsys):
    base, filtered = files
    rows = [json.loads(row) for row in base.read_text().splitlines()]
    bare = write(tmp_path / "bare.jsonl", [{key: row[key] for key in row if key != "score"} for row in rows])
    assert plan((bare, filtered), tmp_path)[0] == 2
    assert "bare.jsonl, line 1 has no score" in capsys.readouterr().err
    assert plan((write(tmp_path / "other.jsonl", [{**rows[0], "prompt": "Another."}]), filtered), tmp_path)[0] == 2
    assert "not the same prompt" in capsys.readouterr().err
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"number": 0}\n')
    assert plan((broken, filtered), tmp_path)[0] == 2
    assert "broken.jsonl, line 1: no row of `nines generate`" in capsys.readouterr().err
    _, folder = plan(files, tmp_path)
    wrong = write(tmp_path / "wrong.jsonl", [{"id": "nothing", "preference": "a"}])
    assert main(["quality", "estimate", str(folder), str(wrong)]) == 2
    assert "wrong.jsonl, line 1: the plan asks for no pair 'nothing'" in capsys.readouterr().err
    first = next(one.id for one in read_plan(folder)[0] if one.asked)
    twice = write(tmp_path / "twice.jsonl", [{"id": first, "preference": "a"}] * 2)
    assert main(["quality", "estimate", str(folder), str(twice)]) == 2
    assert "twice.jsonl, line 2: twice answered pair" in capsys.readouterr().err
    unclear = write(tmp_path / "unclear.jsonl", [{"id": first, "preference": "first"}])
    assert main(["quality", "estimate", str(folder), str(unclear)]) == 2
    assert "must be a, b or tie, is 'first'" in capsys.readouterr().err
    assert main(["quality", "estimate", str(tmp_path), str(wrong)]) == 2
    assert "holds no plan" in capsys.readouterr().err


def test_the_same_seed_and_refusals_left_out_would_be_biased(files, tmp_path, capsys):
    rows = [json.loads(row) for row in files[1].read_text().splitlines()]
    rows[3] |= {"completion": None, "chosen": None, "gave_up": True}
    base = [{**line(row["number"], row["attempts"][:1], 0), "score": row["attempts"][0]["score"]} for row in rows]
    assert plan((write(tmp_path / "same.jsonl", base), write(files[1], rows)), tmp_path)[0] == 2
    assert "have the same seed" in capsys.readouterr().err


def test_the_power_table_is_printed(capsys):
    assert main(["quality", "power", "--half-width", "0.05", "--rejected", "0.3", "--ties", "0"]) == 0
    assert "| 5 % | 30 % |" in capsys.readouterr().out
    assert main(["quality", "power", "--rejected", "2"]) == 2
    assert "rejected must lie between" in capsys.readouterr().err


def test_shares_are_those_of_the_filtered_completion_whichever_side_it_has(files, tmp_path):
    _, folder = plan(files, tmp_path)
    rows = [{"id": one.id, "share": 1.0 if one.filtered == "a" else 0.0} for one in read_plan(folder)[0] if one.asked]
    assert figures(folder, write(tmp_path / "s.jsonl", rows))["quality"]["estimate"] == pytest.approx(2 / 3)
    assert np.mean([one.filtered == "a" for one in read_plan(folder)[0]]) == pytest.approx(0.5, abs=0.25)
