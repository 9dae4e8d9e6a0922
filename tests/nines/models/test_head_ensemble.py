import numpy as np
import pytest
import torch

from nines.errors import ConfigError, DataError
from nines.models.head_ensemble import HeadEnsemble, HeadOptions, Heads, cross_entropy, varied

QUICK = HeadOptions(width=8, steps=150, batch_size=64, dropout=0.0, learning_rate=0.03)


def separable(count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(count, 6)).astype(np.float32)
    return features, (features[:, 0] > 0).astype(np.float64), np.arange(count) // 4


def test_members_learn_what_the_features_tell() -> None:
    features, targets, prompts = separable()
    found = HeadEnsemble([QUICK] * 3, seed=1).fit(features, targets, prompts=prompts).probabilities(features)
    assert found.shape == (3, len(features))
    assert (((found > 0.5) == targets).mean(axis=1) > 0.9).all()
    assert np.abs(found[0] - found[1]).max() > 0.01  # seeds and samples differ


def test_a_head_learns_the_same_alone_as_beside_others() -> None:
    features, targets, _ = separable(50)
    aims, rows = torch.from_numpy(targets.astype(np.float32)), torch.from_numpy(features)
    several = [QUICK, HeadOptions(width=8, steps=150, batch_size=64, dropout=0.0, learning_rate=0.3)]
    outputs = []
    for options in (several[:1], several):
        heads = Heads(options, features=6, seed=3)
        heads.train_on(rows, lambda said, places, _: cross_entropy(said, aims[places]))
        outputs.append(heads(rows))
    assert torch.allclose(outputs[0][0], outputs[1][0], atol=1e-5)
    assert not torch.allclose(outputs[1][0], outputs[1][1], atol=0.1)  # the other has a learning rate of its own


def test_a_row_of_weight_zero_teaches_nothing() -> None:
    features, targets, _ = separable(40)
    wrong = np.where(np.arange(40) < 20, targets, 1 - targets)
    aims, rows = torch.from_numpy(wrong.astype(np.float32)), torch.from_numpy(features)
    heads = Heads([QUICK], features=6)
    weights = (torch.arange(40) < 20).float()[None]
    heads.train_on(rows, lambda said, places, _: cross_entropy(said, aims[places]), weights=weights)
    said = heads(rows)[0, :, 0] > 0
    assert (said[:20].numpy() == (targets[:20] == 1)).all()


def test_the_bootstrap_draws_whole_prompts() -> None:
    ensemble = HeadEnsemble([QUICK] * 50, seed=0)
    weights = ensemble._weights(np.array([7, 7, 3, 5, 3])).numpy()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    # A prompt is in no sample with chance (2/3)³.
    assert (weights[:, 0] == 0).mean() == pytest.approx(8 / 27, abs=0.2)


def test_dropout_is_for_training_alone() -> None:
    features, targets, prompts = separable(40)
    options = HeadOptions(width=8, steps=5, dropout=0.5)
    fitted = HeadEnsemble([options], seed=0).fit(features, targets, prompts=prompts)
    assert (fitted.probabilities(features) == fitted.probabilities(features)).all()


def test_varied_options_stay_near_and_train_together() -> None:
    found = varied(20, seed=0)
    assert found == varied(20, seed=0)
    assert len({one.learning_rate for one in found}) == 20
    base = HeadOptions()
    assert all(1 / 3 <= one.learning_rate / base.learning_rate <= 3 and 0.1 <= one.dropout <= 0.5 for one in found)
    assert len(Heads(found, features=4).hidden) == 20


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match="one width"):
        Heads([HeadOptions(width=2), HeadOptions(width=3)], features=4)
    with pytest.raises(ConfigError, match="cannot be trained"):
        HeadOptions(steps=0)
    with pytest.raises(DataError, match="without rows"):
        HeadEnsemble([QUICK]).fit(np.empty((0, 4), np.float32), np.empty(0), prompts=np.empty(0, np.int64))
    with pytest.raises(DataError, match="fit the ensemble"):
        HeadEnsemble([QUICK]).probabilities(np.empty((1, 4), np.float32))
