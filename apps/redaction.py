"""Text without the passwords in it, for what a run folder keeps: whoever may read the run need not learn them."""

from __future__ import annotations

import re

from sweeps.storage_url import password_of

HIDDEN = "***"
# user:password@ of an address, up to the last @ of the word: a password may hold one that is not quoted.
_IN_ADDRESS = re.compile(r"(?P<before>://[^/\s:@\"']*:)[^\s\"']+(?=@)")
_IN_QUERY = re.compile(r"(?P<before>[?&](?:password|passwd|pwd)=)[^&\s\"']+", re.IGNORECASE)
# Not every token and key: `pad_token: <pad>` and `max_tokens: 128` are what a run computes with.
_NAME = (
    r"(?:password|passwd|pwd|secret|(?:api|access|auth|hub|hf)_?token|(?:api|access|secret|private)_?key|credentials?)"
)
_IN_QUOTES = re.compile(
    rf"(?P<before>{_NAME}[\"']?\s*[:=]\s*(?P<quote>[\"']))[^\"'\n]+(?=(?P=quote))",
    re.IGNORECASE,
)
# A value without quotes is text in YAML and in a shell, and a name in Python.
_BARE = re.compile(rf"(?<![?&])(?P<before>{_NAME}(?:: *|=))[^\s\"',;)}}\]]+", re.IGNORECASE)
_WELL_KNOWN = re.compile(r"\b(?:hf_[A-Za-z0-9]{16,}|gh[a-z]_[A-Za-z0-9]{16,}|sk-[\w-]{16,}|eyJ[\w-]{8,}\.[\w.-]+)")


def redacted(text: str, *, python: bool = False) -> str:
    """`text` with `***` for each password, secret and access token that is recognised by its place, name or form.

    Args:
        text: A line, or several.
        python: Whether it is Python, where only what stands in quotes is a value.
    """
    if (password := password_of()) is not None:
        text = text.replace(password, HIDDEN)
    for place in (_IN_ADDRESS, _IN_QUERY, _IN_QUOTES, *(() if python else (_BARE,))):
        text = place.sub(rf"\g<before>{HIDDEN}", text)
    return _WELL_KNOWN.sub(HIDDEN, text)


def redacted_difference(difference: str) -> str:
    """What git prints as the difference of some files, every line of it without secrets."""
    lines: list[str] = []
    python = False
    for line in difference.splitlines(keepends=True):
        if line.startswith("diff --git "):
            python = line.rstrip().rstrip('"').endswith(".py")
        lines.append(redacted(line, python=python))
    return "".join(lines)
