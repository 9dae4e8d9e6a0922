"""The files of `nines quality`: what `nines generate` wrote, plans of pairs, and answers; every mistake by its line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nines.errors import DataError, UserError
from nines.files import replacing

PLAN, SUMMARY, TO_JUDGE = "plan.jsonl", "plan.json", "to_judge.jsonl"
SHARES = {"a": 1.0, "tie": 0.5, "b": 0.0}


@dataclass(frozen=True)
class Continuation:
    """One line of `nines generate`.

    Attributes:
        where: File and line.
        number: Of the prompt.
        prompt: Its text.
        completion: What was delivered; None where the policy refused.
        score: P(injurious) of it, None if unknown.
        finished: It reached its end.
        gave_up: No attempt was accepted.
        threshold: The filter's; None without a filter.
        conservatism: The factor by which rejections lower the threshold; None for a fixed one.
        first_accepted: The attempts look as first-accepted selection leaves them: the delivered one is the last, and
            the only one that was accepted.
        first_attempt: Text of the first attempt.
    """

    where: str
    number: int
    prompt: str
    completion: str | None
    score: float | None
    finished: bool
    gave_up: bool
    threshold: float | None
    conservatism: float | None
    first_accepted: bool
    first_attempt: str | None


@dataclass(frozen=True)
class PlannedPair:
    """One line of a plan.

    Attributes:
        id: Name of the pair in the file for the judges.
        number: Of the prompt in the files of `nines generate`.
        prompt: Its text, the cluster of intervals.
        a: The completion that is shown first.
        b: The one that is shown second.
        filtered: Which of them the filtered (or distilled) policy delivered: drawn at random.
        known: What the filtered completion gets without a label: ½ where both are accepted or the same text, 0 for a
            refusal that counts as lost; None where a label is needed.
        probability: With which chance the pair was chosen to be asked for; 1 for known ones.
        asked: Whether it was.
    """

    id: str
    number: int
    prompt: str
    a: str
    b: str
    filtered: str
    known: float | None
    probability: float
    asked: bool

    def share_of_filtered(self, share_of_a: float) -> float:
        """From what completion a got to what the filtered one got."""
        return share_of_a if self.filtered == "a" else 1 - share_of_a


@dataclass(frozen=True)
class Answer:
    """One answer to a pair: what completion a got, in [0, 1], by whom."""

    where: str
    id: str
    share: float
    judge: str


def read_continuations(path: Path) -> list[Continuation]:
    """The rows of a file that `nines generate --output` wrote, also after `nines predict` added scores to it.

    Raises:
        UserError: There is no such file.
        DataError: A line is no such row, or two have one number.
    """
    found: dict[int, Continuation] = {}
    for where, row in rows_of(path):
        one = _continuation(where, row)
        if one.number in found:
            raise DataError(f"{where}: number {one.number} was on {found[one.number].where} already")
        found[one.number] = one
    if not found:
        raise DataError(f"{path} holds no completion")
    return list(found.values())


def _continuation(where: str, row: dict[str, Any]) -> Continuation:
    number, prompt, completion = row.get("number"), row.get("prompt"), row.get("completion")
    if not isinstance(number, int) or not isinstance(prompt, str) or "completion" not in row:
        raise DataError(f"{where}: no row of `nines generate` (number, prompt, completion)")
    if completion is not None and not isinstance(completion, str):
        raise DataError(f"{where}: field 'completion' must be text, or null where nothing was delivered")
    attempts = row.get("attempts") or []
    try:
        chosen = next((one for one in attempts if one["index"] == row.get("chosen")), None)
        accepted = [one["index"] for one in attempts if one["accepted"]]
        single = accepted == [row.get("chosen")] and attempts[-1]["index"] == row.get("chosen")
        score = row.get("score", None if chosen is None else chosen["score"])
        finished = True if chosen is None else bool(chosen["finished"])
        threshold, conservatism = row.get("threshold"), row.get("conservatism")
        return Continuation(
            where=where,
            number=number,
            prompt=prompt,
            completion=completion,
            score=None if score is None else float(score),
            finished=finished,
            gave_up=bool(row.get("gave_up")),
            threshold=None if threshold is None else float(threshold),
            conservatism=None if conservatism is None else float(conservatism),
            first_accepted=single or (bool(row.get("gave_up")) and not accepted),
            first_attempt=attempts[0]["text"] if attempts else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: attempts are not as `nines generate` writes them ({error!r})") from error


def write_plan(folder: Path, pairs: Sequence[PlannedPair], summary: dict[str, Any]) -> None:
    """Write plan, summary, and the blind file for the judges, each as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    blind = [{"id": one.id, "prompt": one.prompt, "a": one.a, "b": one.b} for one in pairs if one.asked]
    for name, rows in ((TO_JUDGE, blind), (PLAN, [asdict(one) for one in pairs])):
        write_rows(folder / name, rows)
    with replacing(folder / SUMMARY) as temporary:
        temporary.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write JSON Lines as a whole."""
    with replacing(path) as temporary:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text(text, encoding="utf-8")


def read_plan(folder: Path) -> tuple[list[PlannedPair], dict[str, Any]]:
    """The pairs in their random order, and the summary.

    Raises:
        UserError: The folder holds no plan.
        DataError: A line is damaged.
    """
    if not (folder / PLAN).is_file() or not (folder / SUMMARY).is_file():
        raise UserError(f"{folder} holds no plan; make one: nines quality plan BASE FILTERED --output {folder}")
    pairs = []
    for where, row in rows_of(folder / PLAN):
        try:
            pairs.append(PlannedPair(**row))
        except TypeError as error:
            raise DataError(f"{where}: no line of a plan ({error})") from error
    return pairs, json.loads((folder / SUMMARY).read_text(encoding="utf-8"))


def read_answers(path: Path, *, default_judge: str | None = None) -> list[Answer]:
    """Rows with `id` and `preference` (a, b, tie) or `share` (what a got); `judge` is optional.

    Raises:
        UserError: There is no such file.
        DataError: A line is no answer.
    """
    found = []
    for where, row in rows_of(path):
        preference, share = row.get("preference"), row.get("share")
        if not isinstance(row.get("id"), str):
            raise DataError(f"{where}: an answer needs the field 'id' of its pair")
        if preference is not None and preference not in SHARES:
            raise DataError(f"{where}: preference must be a, b or tie, is {preference!r}")
        if preference is None and not (isinstance(share, int | float) and 0 <= share <= 1):
            raise DataError(f"{where}: an answer needs 'preference' (a, b, tie), or 'share' in [0, 1]")
        value = float(share) if preference is None and share is not None else SHARES[str(preference)]
        found.append(Answer(where, row["id"], value, str(row.get("judge") or default_judge or path.stem)))
    return found


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects of a JSON Lines file, each after its file and line; blank lines are skipped."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except (UnicodeDecodeError, json.JSONDecodeError) as error:
                raise DataError(f"{where}: no JSON object in UTF-8 ({error})") from error
            if not isinstance(row, dict):
                raise DataError(f"{where}: no JSON object")
            yield where, row
