"""Tokenised texts as ragged arrays, and batches of them: one text a row, or several one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.loader import Batch
from datamodules.stories import Story
from nines.errors import DataError

LossOn = Literal["completion", "all"]


@dataclass(frozen=True)
class TokenisedTexts:
    """Texts without padding: text i is `tokens[offsets[i]:offsets[i + 1]]`.

    Attributes:
        tokens: (tokens of all texts,) int32.
        offsets: (texts + 1,) int64.
        loss_start: (texts,) int64; place within the text of the first token that the loss counts, at least 1: nothing
            is before a text's first token.
        source: (texts,) int64; index into `sources`.
        sources: Names.
        pad: The id that fills rows.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    loss_start: NDArray[np.int64]
    source: NDArray[np.int64]
    sources: tuple[str, ...]
    pad: int

    def __len__(self) -> int:
        return len(self.loss_start)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(texts,) tokens of each text."""
        return np.diff(self.offsets)

    @cached_property
    def loss_tokens(self) -> NDArray[np.int64]:
        """(texts,) tokens of each text that the loss counts."""
        return self.lengths - self.loss_start

    def collate(self, texts: NDArray[np.int64], *, packed_tokens: int | None = None) -> Batch:
        """The given texts as one batch.

        Args:
            texts: Indices; a text may come more than once.
            packed_tokens: Put texts one after the other into rows of at most so many tokens; None gives each its row.

        Returns:
            Tensors (rows, tokens): `tokens` int64, `mask` bool (False on padding), `loss_mask` bool, `documents` int64
            (the number of the text within the row, from 1; 0 on padding), `source` int64.
        """
        rows = [[text] for text in texts] if packed_tokens is None else self._packed(texts, packed_tokens)
        width = max(int(self.lengths[row].sum()) for row in rows)
        shape = (len(rows), width)
        tokens = np.full(shape, self.pad, dtype=np.int64)
        documents, source = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        loss_mask = np.zeros(shape, dtype=np.bool_)
        for number, row in enumerate(rows):
            begin = 0
            for document, text in enumerate(row, 1):
                end = begin + int(self.lengths[text])
                tokens[number, begin:end] = self.tokens[self.offsets[text] : self.offsets[text + 1]]
                documents[number, begin:end] = document
                source[number, begin:end] = self.source[text]
                loss_mask[number, begin + int(self.loss_start[text]) : end] = True
                begin = end
        arrays = {"tokens": tokens, "mask": documents > 0, "loss_mask": loss_mask, "documents": documents}
        return {name: torch.from_numpy(array) for name, array in {**arrays, "source": source}.items()}

    def _packed(self, texts: NDArray[np.int64], room: int) -> list[list[int]]:
        """Rows of texts: each, longest first, goes into the first row that has room for it (first-fit decreasing)."""
        rows: list[list[int]] = []
        left: list[int] = []
        for text in texts[np.argsort(-self.lengths[texts], kind="stable")]:
            length = int(self.lengths[text])
            fitting = next((row for row, free in enumerate(left) if free >= length), None)
            if fitting is None:
                rows.append([])
                left.append(room)
                fitting = len(rows) - 1
            rows[fitting].append(int(text))
            left[fitting] -= length
        return rows


def tokenise_stories(
    stories: Sequence[Story], tokenizer: Any, *, max_tokens: int, loss_on: LossOn, pad: int, end_token: bool = True
) -> TokenisedTexts:
    """The tokens of stories, in order, a long text cut into several pieces.

    A prompt loses its start where prompt and completion are longer than `max_tokens` together; a completion is never
    cut. Between prompt and completion is one space, unless there is other white space; after the end of a story comes
    the tokenizer's end token, which the loss counts.

    Leave the end token out where completions are single sentences and sampling stops at a sentence's end: a model that
    has learned to end behind each of them ends behind the prompt's last sentence as well, with nothing said.

    Args:
        stories: What to tokenise.
        tokenizer: Of transformers.
        max_tokens: The longest text.
        loss_on: `completion` counts the tokens of a completion only, `all` those of its prompt, too.
        pad: The id that fills rows.
        end_token: Whether the end token comes after a story.

    Raises:
        DataError: Completions that are longer than `max_tokens` allows; each is named.
    """
    end = int(tokenizer.eos_token_id)
    prompts = list(dict.fromkeys(story.prompt for story in stories if story.prompt))
    of_prompt = dict(zip(prompts, _ids(tokenizer, [_trimmed(prompt) for prompt in prompts], special=True), strict=True))
    alone = [story.text for story in stories if not story.prompt]
    continuing = [_joined(story) for story in stories if story.prompt]
    of_text = iter(_ids(tokenizer, alone, special=True))
    of_completion = iter(_ids(tokenizer, continuing, special=False))
    names = {source: index for index, source in enumerate(sorted({story.source for story in stories}))}
    rows: list[list[int]] = []
    starts: list[int] = []
    source: list[int] = []
    problems: list[str] = []
    for story in stories:
        ending = [end] if story.ends and end_token else []
        if story.prompt:
            completion = [*next(of_completion), *ending]
            kept = of_prompt[story.prompt][-max(1, max_tokens - len(completion)) :]
            if len(completion) >= max_tokens:
                problems.append(f"a completion of {len(completion)} tokens: {story.text[:60]!r}")
            rows.append([*kept, *completion])
            starts.append(len(kept) if loss_on == "completion" else 1)
            source.append(names[story.source])
            continue
        whole = [*next(of_text), *ending]
        for begin in range(0, len(whole), max_tokens):
            piece = whole[begin : begin + max_tokens]
            if len(piece) > 1:  # nothing is before a single token
                rows.append(piece)
                starts.append(1)
                source.append(names[story.source])
    if problems:
        raise DataError(f"completions are never cut, and datamodule.max_tokens={max_tokens} is too short", problems)
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return TokenisedTexts(
        tokens=np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]) if rows else np.empty(0, np.int32),
        offsets=offsets,
        loss_start=np.asarray(starts, dtype=np.int64),
        source=np.asarray(source, dtype=np.int64),
        sources=tuple(names),
        pad=pad,
    )


def _trimmed(prompt: str) -> str:
    """Without the spaces at its end: tokenizers put a space into the word after it."""
    return prompt.rstrip(" ")


def _joined(story: Story) -> str:
    before = _trimmed(story.prompt)
    return story.text if before[-1:].isspace() or story.text[0].isspace() else f" {story.text}"


def _ids(tokenizer: Any, texts: list[str], *, special: bool) -> list[list[int]]:
    if not texts:
        return []
    found: list[list[int]] = tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]
    return found
