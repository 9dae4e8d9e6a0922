import pytest

from benchmarks.labelling import labellers
from nines.models.head_ensemble import HeadOptions
from tests.benchmarks.labelling.made_material import splits


def test_worse_labellers_give_worse_labels_and_more_readings_better_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = HeadOptions(width=4, steps=40, batch_size=64, learning_rate=0.05)
    monkeypatch.setattr(labellers, "varied", lambda count, *, seed: [quick] * count)
    monkeypatch.setattr(labellers, "READINGS", (150,))
    monkeypatch.setattr(labellers, "ACCURACIES", ((0.0, 0.0), (0.3, 0.3)))
    found = labellers.labelled_by(splits(), members=2, seed=0)
    wrong = {name: figures["wrong"] for name, figures in found.items()}
    assert wrong["0%, 0%; 150; one reading a row"] == wrong["0%, 0%; 150; three, majority"] == 0.0
    assert wrong["30%, 30%; 150; one reading a row"] == pytest.approx(0.3, abs=0.12)
    # Of three readers who err with 0.3 the majority errs with 3 · 0.09 · 0.7 + 0.027 = 0.216.
    assert wrong["30%, 30%; 150; three, majority"] == pytest.approx(0.216, abs=0.12)
    assert found["0%, 0%; 150; one reading a row"]["fnr"] <= found["30%, 30%; 150; one reading a row"]["fnr"]
