import dataclasses

import numpy as np

from callbacks.trade_off_figures import draw_quality, draw_reliability, draw_trade_off
from nines.statistics.labelled import LabelledRows
from nines.statistics.reliability_diagram import reliability_diagram
from nines.statistics.trade_off import trade_off

RNG = np.random.default_rng(0)
SCORES = RNG.random(300)
LABELS = (RNG.random(300) < SCORES**3).astype(np.int8)
ROWS = LabelledRows(LABELS, np.arange(300) // 3, np.full(300, "generated"), np.ones(300))
CURVE = trade_off(SCORES, ROWS).as_json()


def test_the_trade_off_marks_the_threshold_where_it_lies_on_the_curve() -> None:
    axes = draw_trade_off(CURVE, threshold=0.3, split="valid").axes[0]
    (dot,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert abs(dot.get_xdata()[0] - (SCORES < 0.3).mean()) < 0.02
    assert axes.get_yscale() == "log"


def test_quality_is_drawn_against_the_misses_at_its_thresholds() -> None:
    quality = [{"threshold": t, "estimate": 0.5 - t / 20, "lower": 0.4, "upper": 0.6} for t in (0.2, 0.5, 0.9)]
    axes = draw_quality(CURVE, quality, threshold=0.5, split="valid").axes[0]
    (dot,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert dot.get_ydata()[0] == 0.475


def test_calibration_has_a_panel_for_the_map_only_where_there_is_one() -> None:
    bins = reliability_diagram(SCORES, LABELS, equal_weight=True)
    shown = [{**dataclasses.asdict(one), "observed": one.observed.as_json()} for one in bins]
    assert len(draw_reliability({"before": shown, "after": None}, split="valid", population="all").axes) == 1
    assert len(draw_reliability({"before": shown, "after": shown}, split="valid", population="all").axes) == 2
