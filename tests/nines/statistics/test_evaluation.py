import json
import math
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics

from nines.statistics.evaluation import evaluate
from nines.statistics.labelled import LabelledRows
from nines.statistics.rates import false_negative_rate
from nines.statistics.thresholds import thresholds_by_population


@pytest.fixture
def problem():
    """Scores and 400 rows: generated ones with weights, of which some are unsure, and written ones."""
    random = np.random.default_rng(1)
    labels = random.choice([0, 0, 0, 1, -1], size=400).astype(np.int8)
    sources = np.array(["generated"] * 250 + ["written"] * 150)
    labels[(sources == "written") & (labels == -1)] = 0
    rows = LabelledRows(
        labels=labels,
        prompts=random.integers(0, 90, size=400),
        sources=sources,
        natural_weights=np.where(sources == "generated", random.choice([0.01, 0.2], size=400), 0.0),
    )
    return 1 / (1 + np.exp(-random.normal(labels * 1.0, 1.0))), rows


def test_every_population_comes_with_both_bounds_where_rows_are_unsure(problem):
    scores, rows = problem
    found = [(entry.population, entry.unsure) for entry in evaluate(scores, rows, threshold=0.5).populations]
    assert found == [
        ("natural", "dropped"),
        ("natural", "as_injurious"),
        ("all", "dropped"),
        ("all", "as_injurious"),
        ("generated", "dropped"),
        ("generated", "as_injurious"),
        ("written", "dropped"),
    ]


@pytest.mark.parametrize("unsure", ["dropped", "as_injurious"])
def test_natural_figures_are_weighted_by_selection(problem, unsure):
    scores, rows = problem
    natural = evaluate(scores, rows, threshold=0.5).of("natural", unsure=unsure)
    kept = (rows.sources == "generated") & ((rows.labels != -1) | (unsure == "as_injurious"))
    positive, weights = rows.labels[kept] != 0, rows.natural_weights[kept]
    assert natural.auroc == pytest.approx(metrics.roc_auc_score(positive, scores[kept], sample_weight=weights))
    assert natural.average_precision == pytest.approx(
        metrics.average_precision_score(positive, scores[kept], sample_weight=weights)
    )
    assert natural.log_loss == pytest.approx(metrics.log_loss(positive, scores[kept], sample_weight=weights))
    assert natural.prevalence == pytest.approx(np.average(positive, weights=weights))
    assert natural.fnr == false_negative_rate(scores, rows, threshold=0.5, unsure=unsure)
    assert natural.fpr.estimate == pytest.approx(np.average(scores[kept][~positive] >= 0.5, weights=weights[~positive]))


def test_each_source_is_judged_at_its_own_threshold_too(problem):
    scores, rows = problem
    own = thresholds_by_population(scores, rows, rate=0.2)
    result = evaluate(scores, rows, threshold=0.5, own_thresholds=own)
    for population in ("generated", "written"):
        entry = result.of(population)
        assert entry.fnr_at_own_threshold == false_negative_rate(
            scores, rows, threshold=own[population], population=population
        )
        assert entry.fpr_at_own_threshold.estimate <= 0.2


def test_without_unsure_rows_both_bounds_are_one(problem):
    result = evaluate(*problem, threshold=0.5)
    assert result.of("written", unsure="as_injurious") is result.of("written")
    with pytest.raises(KeyError):
        result.of("plain")


def test_scalars_are_flat_and_finite(problem):
    scores, rows = problem
    result = evaluate(scores, rows, threshold=0.5)
    scalars = result.scalars()
    assert scalars["natural/fnr_upper"] == result.of("natural").fnr.upper
    assert scalars["all/partial_auc"] == result.of("all").partial_auc
    assert scalars["natural/fnr_unsure_as_injurious"] == result.of("natural", unsure="as_injurious").fnr.estimate
    assert all(math.isfinite(value) for value in scalars.values())


def test_a_split_of_one_class_gives_what_it_can(problem):
    scores, rows = problem
    safe = rows.labels == 0
    only_safe = LabelledRows(rows.labels[safe], rows.prompts[safe], rows.sources[safe], rows.natural_weights[safe])
    result = evaluate(scores[safe], only_safe, threshold=0.5)
    scalars = result.scalars()
    assert "natural/fpr" in scalars
    assert not {"natural/fnr", "natural/fnr_upper", "natural/auroc"} & scalars.keys()
    assert "no rows" in result.table()


def test_json_holds_everything_and_no_nan(problem):
    scores, rows = problem
    text = json.dumps(evaluate(scores, rows, threshold=0.5).as_json(), allow_nan=False)
    entries = json.loads(text)["populations"]
    assert entries[0]["population"] == "natural"
    assert entries[0]["fnr"]["effective_items"] > 0
    assert entries[0]["fnr_at_own_threshold"] is None


def test_the_table_has_a_row_for_each_entry_and_states_effective_samples(problem):
    result = evaluate(*problem, threshold=0.5)
    lines = result.table().splitlines()
    assert len(lines) == 2 + len(result.populations)
    assert len({line.count("|") for line in lines}) == 1
    assert f"{result.of('natural').fnr.effective_items:.1f}" in lines[2]


def test_scores_that_are_no_probabilities_are_refused(problem):
    scores, rows = problem
    with pytest.raises(ValueError, match="probabilities"):
        evaluate(scores * 2, rows, threshold=0.5)


def test_the_statistics_load_without_torch():
    code = "import sys, nines.statistics.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
