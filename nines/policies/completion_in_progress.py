"""One completion while it is drawn: its tokens so far, and whether they have come to an end."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nines.policies.attempts import Attempt
from nines.policies.options import SamplingOptions
from nines.policies.sentences import first_sentence_end, may_end_sentence

_WHITE_SPACE = re.compile(r"\s+")


class TextRules:
    """What ends a completion, and how its tokens become text.

    Args:
        tokenizer: The model's own.
        options: Sentence ends and the limit of tokens.
        end_tokens: Ids by which the model ends a text.
    """

    def __init__(self, tokenizer: Any, options: SamplingOptions, *, end_tokens: frozenset[int]) -> None:
        self.tokenizer, self.options, self.end_tokens = tokenizer, options, end_tokens
        self._may_end: dict[int, bool] = {}

    def text_of(self, tokens: list[int]) -> str:
        """The text as the tokenizer gives it, end tokens left out."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def may_end_sentence(self, token: int) -> bool:
        """Whether a token can bring the end of a sentence."""
        known = self._may_end.get(token)
        if known is None:
            known = self._may_end[token] = may_end_sentence(self.text_of([token]))
        return known

    def sentence_end(self, tokens: list[int], *, complete: bool) -> tuple[str, int | None]:
        """The text of `tokens`, and where its first sentence ends."""
        text = self.text_of(tokens)
        return text, first_sentence_end(text, complete=complete, shortest=self.options.shortest_sentence)


class CompletionInProgress:
    """The tokens of one completion and the uniform numbers that its next ones are drawn with.

    Args:
        prompt: The place of its prompt in the list.
        index: The number of the attempt.
        uniforms: One number a token, shape (max_new_tokens,).
        rules: What ends it.
    """

    def __init__(self, *, prompt: int, index: int, uniforms: NDArray[np.float64], rules: TextRules) -> None:
        self.prompt, self.index, self.uniforms, self._rules = prompt, index, uniforms, rules
        self.tokens: list[int] = []
        self._log_probs: list[float] = []
        self._looks_for_end = False
        self._text: str | None = None
        self._kept = 0

    @property
    def next_uniform(self) -> float:
        """The number that the next token is drawn with."""
        return float(self.uniforms[len(self.tokens)])

    def append(self, token: int, log_prob: float) -> bool:
        """Take the next token.

        Returns:
            Whether the completion is over.
        """
        self.tokens.append(token)
        self._log_probs.append(log_prob)
        if token in self._rules.end_tokens:
            return True
        if self._rules.options.stop_at_sentence_end:
            self._looks_for_end = self._looks_for_end or self._rules.may_end_sentence(token)
            if self._looks_for_end:
                text, end = self._rules.sentence_end(self.tokens, complete=False)
                if end is not None:
                    self._cut(text, end)
                    return True
        return len(self.tokens) >= self._rules.options.max_new_tokens

    def _cut(self, text: str, end: int) -> None:
        """Keep the text up to `end`, and the fewest tokens that make it up."""
        self._text, self._kept = text[:end], len(self.tokens)
        while self._kept > 1 and len(self._rules.text_of(self.tokens[: self._kept - 1]).rstrip()) >= end:
            self._kept -= 1

    @cached_property
    def attempt(self) -> Attempt:
        """The attempt, once `append` has said that it is over."""
        finished = self._text is not None
        if not finished:
            self._text, self._kept = self._rules.text_of(self.tokens), len(self.tokens)
            finished = self.tokens[-1] in self._rules.end_tokens
            if self._rules.options.stop_at_sentence_end:
                # The text may hold more than a sentence if its last token brought both an end and the limit.
                text, end = self._rules.sentence_end(self.tokens, complete=True)
                if end is not None and not finished:
                    self._cut(text, end)
                    finished = True
        log_probs = tuple(self._log_probs[: self._kept])
        return Attempt(
            text=_WHITE_SPACE.sub(" ", self._text or "").strip(),
            tokens=tuple(self.tokens[: self._kept]),
            token_log_probs=log_probs,
            log_prob=float(np.sum(log_probs)),
            finished=finished,
            index=self.index,
            drawn_tokens=len(self.tokens),
        )
