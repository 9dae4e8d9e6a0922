"""How generations are shown and written: coloured by the decision in a terminal, as JSON Lines in a file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nines.errors import DataError, StorageError, UserError

if TYPE_CHECKING:
    from rich.text import Text

    from nines.policies.attempts import Attempt, Generation


def show(generation: Generation) -> None:
    """Print the prompt, every attempt with its score, and what was delivered; colours in a terminal only."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(generation.prompt, style="bold"))
    for attempt in generation.attempts:
        console.print(_line(attempt, delivered=attempt.index == getattr(generation.chosen, "index", None)))
    if generation.gave_up:
        delivered = "the safest attempt is delivered" if generation.chosen else "nothing is delivered"
        console.print(Text(f"  gave up after {generation.tries} tries: {delivered}", style="yellow"))
    console.print()


def _line(attempt: Attempt, *, delivered: bool) -> Text:
    from rich.text import Text

    mark = {True: "accepted", False: "rejected", None: ""}[attempt.accepted]
    style = {True: "green", False: "red", None: "green" if delivered else ""}[attempt.accepted]
    score = "" if attempt.score is None else f"{attempt.score:.4f} "
    cut = "" if attempt.finished else " […]"
    arrow = "→" if delivered else " "
    return Text(f"  {arrow} {score}{mark + ' ' if mark else ''}{attempt.text}{cut}", style=style)


def as_row(number: int, generation: Generation) -> dict[str, Any]:
    """A generation with all its attempts, as JSON values."""
    chosen = generation.chosen
    return {
        "number": number,
        "prompt": generation.prompt,
        "completion": None if chosen is None else chosen.text,
        "chosen": None if chosen is None else chosen.index,
        "tries": generation.tries,
        "gave_up": generation.gave_up,
        "fallback": generation.fallback,
        "threshold": generation.threshold,
        "conservatism": generation.conservatism,
        "attempts": [asdict(attempt) for attempt in generation.attempts],
    }


class Transcript:
    """A JSON Lines file of generations that grows by a line for each, and can be continued.

    Args:
        path: The file.
        fingerprint: Of the settings that its completions were made with.
        done: Numbers that are there, with their prompts.
    """

    def __init__(self, path: Path, *, fingerprint: str, done: dict[int, str]) -> None:
        self.path, self._fingerprint, self._done = path, fingerprint, done

    @classmethod
    def open(cls, path: Path, *, settings: Mapping[str, Any]) -> Transcript:
        """Open or continue a file; a last line that a kill has cut is dropped.

        Raises:
            UserError: The file was made with other settings.
            DataError: It is no such file.
            StorageError: It cannot be written.
        """
        fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                file.seek(0)
                content = file.read()
                whole = content[: content.rfind(b"\n") + 1]
                # Only a line of our own may be dropped: a file that is no transcript stays as it is.
                done = dict(_rows(whole, path, fingerprint))
                if len(whole) < len(content):
                    if not done and not content.startswith(b'{"number": '):
                        raise DataError(f"{path} is no file of `nines generate`; give another --output")
                    file.truncate(len(whole))
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
        return cls(path, fingerprint=fingerprint, done=done)

    @property
    def next_number(self) -> int:
        """Behind all numbers that are there."""
        return max(self._done, default=-1) + 1

    def missing(self, prompts: Sequence[str]) -> list[int]:
        """The places of the prompts that are not there.

        Raises:
            UserError: Another prompt is there under the same number.
        """
        for number, prompt in enumerate(prompts):
            if self._done.get(number, prompt) != prompt:
                raise UserError(f"{self.path} holds another prompt {number} than the one given; give another --output")
        return [number for number in range(len(prompts)) if number not in self._done]

    def append(self, number: int, generation: Generation) -> None:
        """Write one generation, so that it survives a kill of this process."""
        row = {**as_row(number, generation), "settings": self._fingerprint}
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._done[number] = generation.prompt


def read_generations(path: Path) -> dict[int, Generation]:
    """The generations of a file that `nines generate` wrote, by their number.

    Raises:
        DataError: There is no such file, or a line is no row of it.
    """
    from nines.policies.attempts import Attempt, Generation

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; write it with nines generate --output") from error
    found: dict[int, Generation] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            attempts = tuple(
                Attempt(
                    **{
                        **attempt,
                        "tokens": tuple(attempt["tokens"]),
                        "token_log_probs": tuple(attempt["token_log_probs"]),
                    }
                )
                for attempt in row["attempts"]
            )
            chosen = next((attempt for attempt in attempts if attempt.index == row["chosen"]), None)
            found[int(row["number"])] = Generation(
                prompt=row["prompt"],
                chosen=chosen,
                attempts=attempts,
                tries=int(row["tries"]),
                gave_up=bool(row["gave_up"]),
                fallback=row["fallback"],
                threshold=row["threshold"],
                conservatism=row["conservatism"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: no row of `nines generate`") from error
    return found


def _rows(content: bytes, path: Path, fingerprint: str) -> list[tuple[int, str]]:
    found = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            row = json.loads(line)
            found.append((int(row["number"]), str(row["prompt"])))
            settings = row["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: no row of `nines generate`; give another --output") from error
        if settings != fingerprint:
            raise UserError(
                f"{path} was written with other settings (policy, seed, sampling or models); give another --output"
            )
    return found
