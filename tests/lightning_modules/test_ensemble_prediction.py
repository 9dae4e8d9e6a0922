import numpy as np
import pytest
import torch

from lightning_modules.ensemble_prediction import EnsemblePredictor
from lightning_modules.prediction import Predictor
from nines.errors import ConfigError
from nines.statistics.ensembles import mutual_information
from tests.lightning_modules.small_classifier import tiny_classifier

PAIRS = [("The shelf tilted.", "It missed her."), ("It rained.", "He broke his arm."), ("Late.", "They slept.")]


@pytest.fixture(scope="module")
def members() -> list[Predictor]:
    found, generator = [], torch.Generator().manual_seed(0)
    for _ in range(3):
        module = tiny_classifier()
        for parameter in module.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        found.append(Predictor(module, threshold=0.5))
    return found


def test_scores_are_those_of_the_members_combined(members: list[Predictor]) -> None:
    each = np.stack([member.scores(PAIRS) for member in members])
    assert np.ptp(each, axis=0).max() > 1e-4
    assert EnsemblePredictor(members).scores(PAIRS) == pytest.approx(each.mean(axis=0))
    assert EnsemblePredictor(members, combination="max").scores(PAIRS) == pytest.approx(each.max(axis=0))
    median = EnsemblePredictor(members, combination="quantile", quantile=0.5)
    assert median.scores(PAIRS) == pytest.approx(np.median(each, axis=0))
    assert median.knowledge_uncertainty(each) == pytest.approx(mutual_information(each))


def test_no_member_is_no_ensemble() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        EnsemblePredictor([])
