import numpy as np
import pytest
import torch
from scipy import stats

from nines.errors import DataError
from nines.models.head_distillation import DistributionStudent, MeanStudent, beta_negative_log_likelihood, temperature
from nines.models.head_ensemble import HeadOptions
from nines.statistics.ensembles import mutual_information

OPTIONS = HeadOptions(width=16, steps=300, batch_size=256, dropout=0.0, learning_rate=0.02, weight_decay=0.0)


def members() -> tuple[np.ndarray, np.ndarray]:
    """Agreed where the first feature is negative, at odds where it is positive; the second decides the mean."""
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, size=(400, 2)).astype(np.float32)
    spread = np.where(features[:, 0] > 0, 2.0, 0.2)
    odds = 2 * features[:, 1] + spread * rng.normal(size=(8, 400))
    return features, 1 / (1 + np.exp(-odds))


def test_the_likelihood_equals_that_of_scipy() -> None:
    odds = torch.tensor([[0.5, -2.0], [1.0, 3.0]], dtype=torch.float64)
    outputs = torch.tensor([[[0.3, 1.1], [-0.7, 2.0]]], dtype=torch.float64)
    probabilities = torch.sigmoid(odds).numpy()
    for row in range(2):
        law = stats.beta(*outputs[0, row].exp().tolist())
        expected = -law.logpdf(probabilities[:, row]).mean()
        assert float(beta_negative_log_likelihood(outputs, odds)[0, row]) == pytest.approx(expected)


def test_the_mean_student_says_the_mean() -> None:
    features, said = members()
    found = MeanStudent(OPTIONS).fit(features, said).probabilities(features)
    assert np.abs(found - said.mean(axis=0)).mean() < 0.08
    assert np.corrcoef(found, said.mean(axis=0))[0, 1] > 0.9


def test_the_distribution_student_says_the_mean_and_where_the_members_disagree() -> None:
    features, said = members()
    student = DistributionStudent(OPTIONS).fit(features, said)
    assert np.abs(student.probabilities(features) - said.mean(axis=0)).mean() < 0.08
    knowledge, at_odds = student.knowledge_uncertainty(features), features[:, 0] > 0
    assert np.median(knowledge[at_odds]) > 3 * np.median(knowledge[~at_odds])
    assert stats.spearmanr(knowledge, mutual_information(said)).statistic > 0.6


def test_log_odds_are_cooled_for_half_of_the_steps() -> None:
    assert [temperature(done) for done in (0.0, 0.25, 0.5, 1.0)] == [5.0, 3.0, 1.0, 1.0]


@pytest.mark.parametrize("student", [MeanStudent(), DistributionStudent()])
def test_a_student_must_be_fitted_first(student: MeanStudent | DistributionStudent) -> None:
    with pytest.raises(DataError, match="fit the student"):
        student.probabilities(np.zeros((1, 2), np.float32))
