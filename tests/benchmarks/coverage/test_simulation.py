from functools import partial

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage.__main__ import every_regime, main
from benchmarks.coverage.simulation import Regime, Replications, judge

ALL = [regime for regimes in every_regime().values() for regime in regimes]


def normal(rng, replications, *, z=1.96, shift=0.0):
    estimates = rng.normal(size=replications) + shift
    return Replications(np.zeros(replications), estimates, estimates - z, estimates + z)


def test_a_right_interval_passes_and_its_coverage_is_that_of_the_normal():
    verdict = judge(Regime("z", normal), replications=10_000)
    assert verdict.passed
    assert verdict.coverage == pytest.approx(0.95, abs=0.01)
    assert verdict.mean_width == pytest.approx(3.92)


def test_an_interval_that_is_too_short_is_refuted():
    verdict = judge(Regime("short", partial(normal, z=1.7)), replications=10_000)
    assert not verdict.passed
    assert (
        verdict.coverage_p_value
        == stats.binomtest(round(verdict.coverage * 10_000), 10_000, 0.94, alternative="less").pvalue
    )


def test_a_known_dip_is_reported_and_passes():
    assert judge(Regime("dip", partial(normal, z=1.7), holds=False), replications=10_000).passed


def test_a_bias_refutes_an_unbiased_estimator_even_where_the_interval_covers():
    wide = partial(normal, z=5.0, shift=0.1)
    assert not judge(Regime("biased", wide), replications=10_000).passed
    assert judge(Regime("biased", wide, unbiased=False), replications=10_000).passed


def test_a_missing_estimate_is_an_error_and_no_miss():
    def lost(rng, replications):
        found = normal(rng, replications)
        found.estimates[0] = np.nan
        return found

    with pytest.raises(ValueError, match="estimates must be 100 numbers"):
        judge(Regime("lost", lost), replications=100)


def test_names_of_regimes_are_unique():
    assert len({regime.name for regime in ALL}) == len(ALL)


@pytest.mark.parametrize("regime", ALL, ids=lambda regime: regime.name)
def test_no_promise_of_a_regime_is_refuted(regime):
    verdict = judge(regime, replications=200)
    assert verdict.passed, verdict


def test_the_command_prints_a_row_for_each_regime_and_writes_them(tmp_path, capsys):
    path = tmp_path / "coverage.json"
    assert main(["clustered", "--replications", "50", "--json", str(path)]) == 0
    assert "| Clopper-Pearson, 1000 independent items, rate 0.01 | 0.01 |" in capsys.readouterr().out
    assert path.stat().st_size > 0


def test_an_unknown_topic_lists_the_known_ones():
    with pytest.raises(SystemExit, match="clustered"):
        main(["clusters"])
