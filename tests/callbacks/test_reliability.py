import json

import lightning as L
import numpy as np
import pytest
import torch

from callbacks.reliability import Reliability
from nines.errors import ConfigError
from nines.statistics.evaluation import evaluate
from nines.statistics.labelled import LabelledRows
from nines.statistics.thresholds import fix_threshold
from tests.fakes import TinyLabelledData, TinyScorer, logged_tags, tiny_trainer


def validate_and_test(folder, callback, module=None, data=None):
    module, data = module or TinyScorer(), data or TinyLabelledData()
    trainer = tiny_trainer(folder, [callback])
    trainer.validate(module, data, verbose=False)
    trainer.test(module, data, verbose=False)
    return trainer, module, data


def test_the_test_is_judged_at_the_threshold_from_validation(tmp_path):
    callback = Reliability(figures=False, false_positive_rate=0.1)
    _, module, data = validate_and_test(tmp_path, callback)
    fixed = fix_threshold(module.gathered_scores("valid"), data.rows("valid"), rate=0.1)
    assert callback.fixed == fixed
    for split in ("test", "adversarial"):
        expected = evaluate(module.gathered_scores(split), data.rows(split), threshold=fixed.threshold)
        assert callback.evaluations[split].threshold == fixed.threshold
        assert callback.evaluations[split].of("all").fnr == expected.of("all").fnr


def test_the_threshold_belongs_to_the_weights_that_are_tested(tmp_path):
    callback, module, data = Reliability(figures=False), TinyScorer(slope=1.0), TinyLabelledData()
    trainer = tiny_trainer(tmp_path, [callback])
    trainer.fit(module, data)
    of_the_last_epoch = callback.fixed.threshold
    # What loading the best checkpoint does: other weights than those of the last validation.
    module.load_state_dict({"slope": torch.tensor(3.0)})
    trainer.validate(module, data, verbose=False)
    trainer.test(module, data, verbose=False)
    assert callback.fixed.threshold != of_the_last_epoch
    assert callback.evaluations["test"].threshold == callback.fixed.threshold
    assert json.loads((tmp_path / "threshold.json").read_text())["threshold"] == callback.fixed.threshold


def test_threshold_json_says_how_it_was_chosen_and_what_results(tmp_path):
    callback = Reliability(figures=False, population="written", false_positive_rate=0.2)
    _, _, data = validate_and_test(tmp_path, callback)
    written = json.loads((tmp_path / "threshold.json").read_text())
    safe = (data.rows("valid").labels == 0) & (data.rows("valid").sources == "written")
    assert written["population"] == "written"
    assert written["chosen_on"] == "valid"
    assert written["false_positive_rate"] == 0.2
    assert written["items"] == safe.sum()
    assert written["effective_items"] == pytest.approx(safe.sum())
    assert written["resulting_false_positive_rate"] == {
        "valid": callback.fixed.resulting_false_positive_rate,
        "test": callback.evaluations["test"].of("written").fpr.estimate,
    }


def test_metrics_json_joins_the_evaluation_and_what_the_module_logged(tmp_path):
    callback = Reliability(figures=False)
    validate_and_test(tmp_path, callback)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["metrics"]["valid/partial_auc"] == 0.75
    assert written["metrics"]["test/natural/fnr"] == callback.evaluations["test"].of("natural").fnr.estimate
    assert written["metrics"]["adversarial/all/fpr"] == callback.evaluations["adversarial"].of("all").fpr.estimate
    assert set(written["evaluation"]) == {"valid", "test", "adversarial"}
    bounds = {(entry["population"], entry["unsure"]) for entry in written["evaluation"]["test"]["populations"]}
    assert {("natural", "dropped"), ("natural", "as_injurious")} <= bounds


def test_a_fit_logs_each_validation_and_leaves_the_files_to_validate(tmp_path):
    callback = Reliability()
    tiny_trainer(tmp_path, [callback]).fit(TinyScorer(), TinyLabelledData())
    tags = logged_tags(tmp_path)
    assert {"valid/natural/fnr", "valid/natural/fnr_upper", "valid/written/fnr", "valid/threshold"} <= set(
        tags["scalars"]
    )
    assert tags["images"] == []
    assert not (tmp_path / "metrics.json").exists()
    assert not (tmp_path / "threshold.json").exists()


def test_figures_go_to_tensorboard_and_to_the_run_folder(tmp_path):
    validate_and_test(tmp_path, Reliability())
    names = {"misses", "precision_recall", "roc", "scores", "calibration"}
    expected = {f"{split}/{name}" for split in ("valid", "test", "adversarial") for name in names}
    tags = logged_tags(tmp_path)
    assert set(tags["images"]) == expected
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {tag.replace("/", "_") for tag in expected}
    assert "reliability/test/text_summary" in tags["tensors"]


def test_figures_during_a_fit_are_a_choice(tmp_path):
    callback = Reliability(figures_during_fit=True)
    tiny_trainer(tmp_path, [callback], max_epochs=1).fit(TinyScorer(), TinyLabelledData())
    assert "valid/roc" in logged_tags(tmp_path)["images"]
    assert not (tmp_path / "figures").exists()


def test_the_sanity_check_fixes_no_threshold(tmp_path):
    callback = Reliability(figures=False)
    trainer = tiny_trainer(tmp_path, [callback], max_epochs=0, num_sanity_val_steps=-1)
    trainer.fit(TinyScorer(), TinyLabelledData())
    assert callback.fixed is None


def test_a_new_validation_drops_the_figures_of_earlier_weights(tmp_path):
    callback = Reliability(figures=False)
    trainer, module, data = validate_and_test(tmp_path, callback)
    trainer.validate(module, data, verbose=False)
    assert set(callback.evaluations) == {"valid"}
    assert not any(name.startswith("test/") for name in callback.metrics)


def test_a_test_without_validation_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"run trainer\.validate"):
        tiny_trainer(tmp_path, [Reliability()]).test(TinyScorer(), TinyLabelledData(), verbose=False)


def test_data_without_selection_weights_is_told_which_populations_it_has(tmp_path):
    with pytest.raises(ConfigError, match=r"no population 'natural'.*all, generated, written"):
        tiny_trainer(tmp_path, [Reliability(population="natural")]).fit(TinyScorer(), TinyLabelledData(natural=False))
    callback = Reliability(figures=False)
    validate_and_test(tmp_path, callback, data=TinyLabelledData(natural=False))
    assert callback.fixed.population == "all"
    assert callback.evaluations["test"].of("all").fpr.items > 0


def test_a_population_of_injurious_rows_only_is_refused_before_training(tmp_path):
    data = TinyLabelledData()
    rows = data.rows("valid")
    labels = np.where(rows.sources == "written", 1, rows.labels).astype(np.int8)
    data._rows["valid"] = LabelledRows(labels, rows.prompts, rows.sources, rows.natural_weights)
    with pytest.raises(ConfigError, match="'written' has no safe validation row"):
        tiny_trainer(tmp_path, [Reliability(population="written")]).fit(TinyScorer(), data)


def test_only_rank_zero_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(L.Trainer, "is_global_zero", property(lambda self: False))
    callback = Reliability()
    validate_and_test(tmp_path, callback)
    assert callback.evaluations["test"].of("natural").fnr.items > 0
    assert not (tmp_path / "metrics.json").exists()
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_its_range_is_refused(rate):
    with pytest.raises(ConfigError, match="must lie in"):
        Reliability(false_positive_rate=rate)
