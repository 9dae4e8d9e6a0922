import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from nines.errors import ConfigError
from nines.losses.preference import BradleyTerry, Davidson, PreferenceLoss, RaoKupper

MODELS = [BradleyTerry(), Davidson(tie_probability=0.2), RaoKupper(tie_probability=0.2)]
TIED = MODELS[1:]
NAMES = ["bradley_terry", "davidson", "rao_kupper"]


def pairs(seed: int = 0, *, size: int = 12, readings: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    random = np.random.default_rng(seed)
    share = random.dirichlet(np.ones(readings), size)
    outcome = random.integers(-1, 2, (size, readings))
    clarity = random.integers(0, 4, (size, readings)) * (outcome != 0)
    difference = random.normal(0, 3, size)
    return torch.tensor(difference), torch.tensor(outcome), torch.tensor(share), torch.tensor(clarity)


def by_definition(model: PreferenceLoss, difference: float) -> list[float]:
    """P(first), P(tie), P(second) from the papers' own fractions of worths."""
    worth_a, worth_b = math.exp(difference), 1.0
    if isinstance(model, Davidson):
        tie = model.log_nu.exp().item() * math.sqrt(worth_a * worth_b)
        return [value / (worth_a + worth_b + tie) for value in (worth_a, tie, worth_b)]
    if isinstance(model, RaoKupper):
        theta = math.exp(model.log_eta.exp().item())
        first, second = worth_a / (worth_a + theta * worth_b), worth_b / (theta * worth_a + worth_b)
        tie = worth_a * worth_b * (theta**2 - 1) / ((worth_a + theta * worth_b) * (theta * worth_a + worth_b))
        return [first, tie, second]
    return [worth_a / (worth_a + worth_b), 0.0, worth_b / (worth_a + worth_b)]


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
@pytest.mark.parametrize("difference", [-4.0, -0.5, 0.0, 0.1, 3.0])
def test_probabilities_are_those_of_the_paper(model: PreferenceLoss, difference: float) -> None:
    found = model.log_probabilities(torch.tensor([difference], dtype=torch.float64)).exp()[0].tolist()
    assert found == pytest.approx(by_definition(model, difference), rel=1e-6)
    assert sum(found) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("model", TIED, ids=NAMES[1:])
def test_equal_scores_tie_with_the_stated_probability(model: PreferenceLoss) -> None:
    first, tie, second = model.log_probabilities(torch.zeros(1, dtype=torch.float64)).exp()[0].tolist()
    assert tie == pytest.approx(0.2, rel=1e-6)
    assert first == pytest.approx(second)


def test_davidson_keeps_the_odds_of_a_win_that_bradley_and_terry_give() -> None:
    log_p = TIED[0].log_probabilities(torch.tensor([1.7], dtype=torch.float64))[0]
    assert (log_p[0] - log_p[2]).item() == pytest.approx(1.7)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_the_loss_is_the_brute_force_sum_over_readings(model: PreferenceLoss) -> None:
    difference, outcome, share, clarity = pairs()
    model.margin = 0.3
    expected = 0.0
    for row in range(len(difference)):
        for reading in range(outcome.shape[1]):
            side = int(outcome[row, reading])
            first, tie, second = by_definition(
                model, float(difference[row]) - 0.3 * side * float(clarity[row, reading])
            )
            if side == 0:
                likelihood = math.log(tie) if model.models_ties else 0.5 * (math.log(first) + math.log(second))
            else:
                likelihood = math.log(first if side > 0 else second)
            expected -= float(share[row, reading]) * likelihood / len(difference)
    assert float(model(difference, outcome, share, clarity)) == pytest.approx(expected, rel=1e-6)
    model.margin = 0.0


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_gradients_agree_with_finite_differences(model: PreferenceLoss) -> None:
    difference, outcome, share, clarity = pairs()
    double = model.double()
    leaves = [difference.requires_grad_(), *double.parameters()]
    assert torch.autograd.gradcheck(lambda *_: double(difference, outcome, share, clarity), leaves)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_exchanging_the_two_completions_changes_nothing(model: PreferenceLoss) -> None:
    difference, outcome, share, clarity = pairs()
    torch.testing.assert_close(
        model(difference, outcome, share, clarity), model(-difference, -outcome, share, clarity), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_far_apart_scores_neither_overflow_nor_lose_their_gradient(model: PreferenceLoss) -> None:
    difference = torch.tensor([300.0, -300.0, 300.0], requires_grad=True)
    outcome = torch.tensor([[-1], [1], [0]])
    ones = torch.ones(3, 1)
    loss = model(difference, outcome, ones, torch.zeros(3, 1))
    loss.backward()
    assert math.isfinite(float(loss))
    assert difference.grad is not None
    assert torch.isfinite(difference.grad).all()
    assert float(difference.grad[0]) == pytest.approx(1 / 3, rel=1e-4)  # of a pair judged the other way


@pytest.mark.parametrize("kind", [Davidson, RaoKupper])
def test_maximum_likelihood_finds_the_scores_that_made_the_data(kind: type[PreferenceLoss]) -> None:
    """Worths of four items, and the tie parameter, against scipy's optimum of the likelihood written out in numpy."""
    random = np.random.default_rng(3)
    worths = np.array([0.0, 0.5, 1.0, -1.0])
    truth = kind(tie_probability=0.3)
    a, b = random.integers(0, 4, 600), random.integers(0, 4, 600)
    p = truth.log_probabilities(torch.tensor(worths[a] - worths[b])).exp().detach().numpy()
    outcomes = np.array([random.choice([1, 0, -1], p=row / row.sum()) for row in p])

    def reference(parameters: np.ndarray) -> float:
        d, tie = parameters[:4][a] - parameters[:4][b], np.exp(parameters[4])
        if kind is Davidson:
            parts = np.stack([np.exp(d / 2), np.full_like(d, tie), np.exp(-d / 2)])
            chances = parts / parts.sum(0)
        else:
            first, second = 1 / (1 + np.exp(tie - d)), 1 / (1 + np.exp(tie + d))
            chances = np.stack([first, 1 - first - second, second])
        return float(-np.log(chances[1 - outcomes, np.arange(600)]).mean() + 1e-3 * parameters[:4].sum() ** 2)

    best = minimize(reference, np.zeros(5), tol=1e-10)
    model = kind().double()
    scores = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores, *model.parameters()], max_iter=200, line_search_fn="strong_wolfe")
    ones = torch.ones(600, 1, dtype=torch.float64)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(scores[a] - scores[b], torch.tensor(outcomes)[:, None], ones, 0 * ones)
        loss = loss + 1e-3 * scores.sum() ** 2
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(closure()) == pytest.approx(best.fun, abs=1e-7)
    np.testing.assert_allclose(scores.detach(), best.x[:4], atol=1e-3)
    np.testing.assert_allclose(scores.detach() - scores.detach().mean(), worths - worths.mean(), atol=0.3)


def test_a_margin_asks_more_of_clear_judgements_alone() -> None:
    model = BradleyTerry(margin=0.5)
    difference, ones = torch.tensor([1.0]), torch.ones(1, 1)
    losses = [float(model(difference, torch.tensor([[1]]), ones, ones * clarity)) for clarity in (0, 1, 3)]
    assert losses == pytest.approx([math.log1p(math.exp(-(1 - 0.5 * clarity))) for clarity in (0, 1, 3)])
    tied = [float(model(difference, torch.tensor([[0]]), ones, ones * clarity)) for clarity in (0, 3)]
    assert tied[0] == tied[1]


def test_a_reading_that_is_not_there_counts_nothing() -> None:
    difference, outcome = torch.tensor([0.7]), torch.tensor([[1, -1]])
    share = torch.tensor([[1.0, 0.0]])
    alone = Davidson()(difference, outcome[:, :1], share[:, :1], torch.ones(1, 1))
    torch.testing.assert_close(Davidson()(difference, outcome, share, torch.ones(1, 2)), alone)


def test_the_loss_is_computed_in_float32_under_autocast() -> None:
    difference, outcome, share, clarity = pairs()
    expected = Davidson()(difference.float(), outcome, share.float(), clarity)
    with torch.autocast("cpu", torch.bfloat16):
        found = Davidson()(difference.float(), outcome, share.float(), clarity)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("build", [lambda: BradleyTerry(margin=-1), lambda: Davidson(tie_probability=1.0)])
def test_settings_out_of_range_are_refused(build: object) -> None:
    with pytest.raises(ConfigError, match=r"module\.loss\."):
        build()  # type: ignore[operator]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="batch, readings"):
        BradleyTerry()(torch.zeros(2), torch.zeros(2), torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match="one shape"):
        BradleyTerry()(torch.zeros(2), torch.zeros(2, 1), torch.zeros(2, 2), torch.zeros(2, 1))
