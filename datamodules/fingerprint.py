"""A short name for the very rows that something was computed on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from datamodules.schema import LabelledCompletion


def rows_fingerprint(rows: Sequence[LabelledCompletion]) -> str:
    """32 hexadecimal digits that change with any text, label, source or weight of the rows, and with their order."""
    digest = hashlib.sha256()
    for row in rows:
        fields = (row.prompt, row.completion, row.label, row.source, row.prompt_id, row.natural_weight)
        digest.update(json.dumps(fields).encode() + b"\n")
    return digest.hexdigest()[:32]
