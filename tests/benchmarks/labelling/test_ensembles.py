import pytest

from benchmarks.labelling import ensembles
from nines.models.head_ensemble import HeadOptions
from tests.benchmarks.labelling.made_material import split, splits


def test_every_classifier_is_judged_and_its_cost_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = HeadOptions(width=4, steps=60, batch_size=64, learning_rate=0.05)
    monkeypatch.setattr(ensembles, "HeadOptions", lambda: quick)
    monkeypatch.setattr(ensembles, "varied", lambda count, *, seed: [quick] * count)
    found = ensembles.compare(splits(), split(100, seed=9).features, members=3, seed=0)
    costs = {name: (figures["passes"], figures["steps"]) for name, figures in found.items()}
    assert costs["single"] == (1, 1)
    assert costs["single, as wide as all"] == (3, 3)
    assert costs["single, as many steps"] == (1, 3)
    assert costs["ensemble, mean"] == (3, 3)
    assert costs["student of the distribution"] == (1, 4)
    assert {f"ensemble, {how}" for how in ("mean", "logit_mean", "max", "quantile")} <= set(found)
    assert all(figures["partial_auc"] > 0.6 for figures in found.values())
    assert -1 <= found["student of the distribution"]["knowledge_correlation"] <= 1
