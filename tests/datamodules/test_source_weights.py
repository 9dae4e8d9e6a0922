from __future__ import annotations

import numpy as np
import pytest

from datamodules.packed_texts import TokenisedTexts
from datamodules.source_weights import SourceDraw, report
from nines.errors import ConfigError


def corpus() -> TokenisedTexts:
    """90 texts of ten tokens by one author, then 20 texts of five tokens by another."""
    lengths = np.array([10] * 90 + [5] * 20)
    return TokenisedTexts(
        tokens=np.zeros(int(lengths.sum()), dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        loss_start=np.ones(110, dtype=np.int64),
        source=np.array([0] * 90 + [1] * 20),
        sources=("long", "short"),
        pad=0,
    )


def test_without_weights_an_epoch_holds_every_text_once() -> None:
    assert SourceDraw(corpus(), None, 0)(3).tolist() == list(range(110))


def test_weights_are_shares_of_the_tokens() -> None:
    texts = corpus()
    draw = SourceDraw(texts, {"long": 1, "short": 1}, 0)
    found = report(texts, [draw(0)])
    assert found["long"]["share"] == pytest.approx(0.5, abs=0.01)
    assert found["long"]["tokens"] + found["short"]["tokens"] == pytest.approx(1000, abs=10)
    assert found["short"]["documents"] == 100
    assert found["short"]["distinct"] == 20


def test_every_epoch_draws_as_many_and_others_of_the_source_that_is_thinned() -> None:
    draw = SourceDraw(corpus(), {"long": 1, "short": 3}, 0)
    epochs = [draw(epoch) for epoch in range(8)]
    assert len({len(epoch) for epoch in epochs}) == 1
    long = [{int(text) for text in epoch if text < 90} for epoch in epochs]
    assert all(len(texts) < 40 for texts in long)
    assert len(set().union(*long)) > 60
    assert draw(2).tolist() == SourceDraw(corpus(), {"long": 1, "short": 3}, 0)(2).tolist()


def test_a_source_without_weight_is_left_out() -> None:
    assert SourceDraw(corpus(), {"short": 2.0}, 0)(0).min() >= 90
    assert SourceDraw(corpus(), {"short": 2.0, "long": 0}, 0)(0).min() >= 90


@pytest.mark.parametrize(
    ("weights", "said"),
    [({"lomg": 1.0}, "did you mean 'long'"), ({"long": -1.0}, "not negative"), ({"long": 0.0}, "above 0")],
)
def test_weights_that_are_none_are_refused(weights: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SourceDraw(corpus(), weights, 0)


def test_the_report_counts_repeated_texts_and_tokens_of_the_loss() -> None:
    found = report(corpus(), [np.array([0, 0]), np.array([100])])
    assert found["long"] == {"documents": 2, "distinct": 1, "tokens": 20, "loss_tokens": 18, "share": 0.8}
    assert found["short"] == {"documents": 1, "distinct": 1, "tokens": 5, "loss_tokens": 4, "share": 0.2}
    assert report(corpus(), [])["long"]["share"] == 0.0
