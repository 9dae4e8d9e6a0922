import json

import numpy as np
import pytest

from nines.errors import DataError
from nines.statistics.score_normalisation import ScoreNormalisation


def test_the_fitted_scores_have_mean_zero_and_variance_one() -> None:
    scores = np.random.default_rng(0).normal(3, 7, 50)
    found = ScoreNormalisation.fit(scores, range(50)).apply(scores)
    assert (found.mean(), found.std()) == pytest.approx((0.0, 1.0), abs=1e-12)


def test_every_prompt_weighs_the_same_however_many_completions_it_has() -> None:
    found = ScoreNormalisation.fit([0.0, 2.0, 2.0, 2.0], ["p", "q", "q", "q"])
    assert (found.mean, found.standard_deviation, found.completions, found.prompts) == pytest.approx((1, 1, 4, 2))


def test_the_order_of_scores_is_kept_and_the_map_survives_json() -> None:
    found = ScoreNormalisation.fit([1.0, 5.0, 2.0], [0, 1, 2])
    assert ScoreNormalisation.from_json(json.loads(json.dumps(found.as_json()))) == found
    assert np.argsort(found.apply([1.0, 5.0, 2.0])).tolist() == [0, 2, 1]


@pytest.mark.parametrize("scores", [[1.0], [2.0, 2.0, 2.0]])
def test_what_has_no_spread_is_refused(scores: list[float]) -> None:
    with pytest.raises(DataError):
        ScoreNormalisation.fit(scores, range(len(scores)))
