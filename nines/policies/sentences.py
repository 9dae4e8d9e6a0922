"""Where the first sentence of a text ends, also while the text is still growing."""

from __future__ import annotations

import re

ENDS = ".!?…"
"""Characters that may end a sentence."""

_CLOSERS = "\"'”’»)]*_"
_END = re.compile(rf"[{re.escape(ENDS)}]+[{re.escape(_CLOSERS)}]*")
# A name or a number follows these, never the next sentence.
_TITLES = frozenset(
    {
        *("mr", "mrs", "ms", "mx", "dr", "prof", "st", "rev", "hon", "mme", "mlle"),
        *("sgt", "capt", "cpt", "lt", "col", "gen", "maj", "cmdr", "sen", "rep", "gov", "pres"),
    }
)
_INNER = frozenset({"e.g", "i.e", "vs", "cf", "approx"})
_LAST_WORD = re.compile(r"[^\s\"'“”‘’(\[]+$")
# What a decoder shows for bytes that are no whole character yet.
_INCOMPLETE = "\ufffd"


def first_sentence_end(text: str, *, complete: bool, shortest: int = 0) -> int | None:
    """The position behind the first sentence of `text` with its closing quotes and brackets, or None.

    An end is one or more of `. ! ? …`, closing quotes or brackets, then white space. It is none where the next word
    starts with a small letter (`"Run!" she said.`), after a title (Mr.), or after an initial (J. Smith).

    Args:
        text: May begin with white space.
        complete: Whether nothing follows `text`. If not, an end counts only if what follows it is there to confirm it,
            so that a longer text never has another answer.
        shortest: An end is passed over if the sentence would have fewer characters than this, surrounding white
            space not counted.
    """
    start = len(text) - len(text.lstrip())
    for match in _END.finditer(text):
        end = match.end()
        if end - start < shortest:
            continue
        rest = text[end:]
        following = rest.lstrip()
        if not following and complete:
            return end
        if rest and not rest[0].isspace():
            continue
        if _follows_a_title(text[:end], match.group()):
            continue
        if "\n" in rest[: len(rest) - len(following)]:
            return end
        if not following or following == _INCOMPLETE:
            if complete:
                return end
            return None
        if not following[0].islower():
            return end
    return None


def may_end_sentence(piece: str) -> bool:
    """Whether a token with this text may bring the end of a sentence; with it, the whole text needs a look."""
    return _INCOMPLETE in piece or any(character in piece for character in ENDS)


def _follows_a_title(text: str, ending: str) -> bool:
    if ending != ".":
        return False
    word = _LAST_WORD.search(text[:-1])
    if word is None:
        return False
    last = word.group()
    # "I" is the one initial that often ends a sentence.
    initial = len(last.rpartition(".")[2]) == 1 and last[-1].isupper() and last != "I"
    return initial or last.lower() in _TITLES or last.lower() in _INNER
