"""The reward of both sides: costs nothing, and needs the text only. Standard library only, as the peer reads it."""

from __future__ import annotations

from collections.abc import Sequence

BAD = "e"


def harmless(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:  # noqa: ARG001  as rewards are called
    """Minus the share of words with the bad letter: 0 is best, -1 is worst."""
    texts = [text.split() or [""] for text in completions]
    return [-sum(BAD in word for word in words) / len(words) for words in texts]


def harmless_or_worst(completions: Sequence[str]) -> list[float]:
    """The same where an empty text gets the worst score of all others, as nines treats what cannot be judged."""
    scores = harmless([], completions)
    worst = min((score for score, text in zip(scores, completions, strict=True) if text), default=-1.0)
    return [score if text else worst for score, text in zip(scores, completions, strict=True)]
