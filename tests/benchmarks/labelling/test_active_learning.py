import numpy as np
import pytest

from benchmarks.labelling import active_learning
from benchmarks.labelling.active_learning import DECIDING, SELECTING, SIGNALS, Scored, decide, fitted, learn
from nines.models.head_ensemble import HeadOptions
from tests.benchmarks.labelling.made_material import splits


@pytest.fixture(autouse=True)
def _quick_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = HeadOptions(width=4, steps=40, batch_size=32, learning_rate=0.05)
    monkeypatch.setattr(active_learning, "varied", lambda count, *, seed: [quick] * count)


@pytest.mark.parametrize("strategy", SIGNALS)
def test_every_strategy_buys_its_budget_and_learns(strategy: str) -> None:
    curve, _ = learn(splits(), strategy, budgets=(20, 40, 60), members=2, seed=0)
    assert [point["labels"] for point in curve] == [20, 40, 60]
    assert 0 <= curve[-1]["fnr"] < 0.5


def test_strategies_start_alike_and_then_differ() -> None:
    curves = [learn(splits(), name, budgets=(20, 60), members=2, seed=1)[0] for name in ("random", "uncertainty")]
    assert curves[0][0] == curves[1][0]
    assert curves[0][1] != curves[1][1]


def test_no_label_is_bought_twice_and_none_beyond_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    real = fitted
    monkeypatch.setattr(
        active_learning, "fitted", lambda pool, bought, **rest: seen.append(bought) or real(pool, bought, **rest)
    )
    learn(splits(), "uncertainty", budgets=(50, 150, 200), members=2, seed=0)
    assert [len(set(one.tolist())) for one in seen] == [50, 150, 200]
    assert set(seen[0]) < set(seen[1]) < set(seen[2]) == set(range(200))


def test_the_signals_rank_what_they_name() -> None:
    members = np.array([[0.1, 0.45, 0.9, 0.4], [0.1, 0.49, 0.2, 0.4]])
    rows = Scored(members, np.array([0, 0, 0, 1]), threshold=0.5)
    assert int(np.argmax(SIGNALS["mutual information"](rows))) == 2
    assert int(np.argmax(SIGNALS["vote entropy"](rows))) == 2
    assert int(np.argmax(SIGNALS["just below the threshold"](rows))) == 1
    assert int(np.argmax(SIGNALS["uncertainty"](rows))) == 1
    assert int(np.argmax(SIGNALS["accepted among rejected"](rows))) == 1  # its sibling has 0.55 on average
    assert not SIGNALS["random"](rows).any()
    assert DECIDING["rejected siblings"](rows).tolist() == [0.5, 0.5, 0.0, 0.0]
    assert set(SELECTING) == set(DECIDING)
    assert set(SELECTING.values()) <= set(SIGNALS)


def test_a_signal_that_knows_the_label_decides_better_than_the_score() -> None:
    material = splits()
    _, ensemble = learn(material, "random", budgets=(20,), members=2, seed=0)

    def oracle(rows: Scored) -> np.ndarray:
        found = [part for part in parts if len(part) == len(rows.prompts) and (part.prompts == rows.prompts).all()]
        return found[0].labels.astype(float)

    rng = np.random.default_rng(0)
    valid = material["valid"]
    half = rng.permutation(int(valid.rows.prompts.max()) + 1)[valid.rows.prompts] % 2 == 0
    parts = [valid.take(half).rows, valid.take(~half).rows, material["test"].rows]
    found = decide(material, ensemble, oracle, seed=0)
    assert found["score and signal"]["fnr"] == 0.0
    assert found["score alone"]["fnr"] > 0.0
