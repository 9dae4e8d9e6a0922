from dataclasses import replace

from datamodules.fingerprint import rows_fingerprint
from datamodules.schema import LabelledCompletion

ROW = LabelledCompletion("P.", "C.", "yes", "id", "p", "written")


def test_any_change_of_text_label_source_weight_or_order_changes_it() -> None:
    other = replace(ROW, completion="D.")
    known = rows_fingerprint([ROW, other])
    assert len(known) == 32
    assert known == rows_fingerprint([replace(ROW), replace(other)])
    changed = [
        [other, ROW],
        [ROW],
        [replace(ROW, label="no"), other],
        [replace(ROW, source="plain"), other],
        [replace(ROW, selection_probability=0.5, drawn=3), other],
        [replace(ROW, prompt="P.C", completion="."), other],
    ]
    assert len({known, *(rows_fingerprint(rows) for rows in changed)}) == 7
