from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lightning_modules.prediction import Predictor, locate_checkpoint, windows
from nines.errors import CapabilityError, CheckpointError, ConfigError, DataError
from nines.files import write_json
from nines.run_folder import RunFolder
from sweeps.best import copy_best
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier

PAIRS = [
    (f"The shelf tilted over {name}. " * (1 + row % 3), f"It missed {name}" + " by an inch" * (row % 5) + ".")
    for row, name in enumerate(["her", "him", "the child", "the cook", "a dog", "both of them", "Ann"] * 3)
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a checkpoint and a threshold."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    checkpoint = fitted_checkpoint(folder.path, tiny_classifier())
    folder.checkpoints.mkdir()
    checkpoint.rename(folder.best)
    write_json(folder.threshold, {"threshold": 0.25})
    return folder.path


def test_the_three_lines_of_the_documentation_score_pairs(run: Path) -> None:
    predictor = Predictor.load(run)
    scores = predictor.scores([("The shelf tilted.", "It missed her by an inch.")])
    assert scores.shape == (1,)
    assert 0 < scores[0] < 1


def test_each_score_is_that_of_the_pair_alone_in_the_order_given(run: Path) -> None:
    predictor = Predictor.load(run, batch_size=4)
    alone = [predictor.scores([pair])[0] for pair in PAIRS]
    np.testing.assert_allclose(predictor.scores(PAIRS), alone, atol=1e-6)
    assert len(np.unique(np.round(alone, 6))) > len(PAIRS) // 2


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_scores_do_not_depend_on_which_pairs_share_a_batch(run: Path, batch_size: int) -> None:
    expected = Predictor.load(run, batch_size=7).scores(PAIRS)
    backwards = Predictor.load(run, batch_size=batch_size).scores(PAIRS[::-1])[::-1]
    np.testing.assert_allclose(backwards, expected, atol=1e-6)


def test_scores_do_not_depend_on_dropout(run: Path) -> None:
    module = tiny_classifier(dropout={"hidden": 0.5, "head": 0.5}).train()
    predictor = Predictor(module)
    torch.manual_seed(0)
    first = predictor.scores(PAIRS)
    np.testing.assert_array_equal(predictor.scores(PAIRS), first)


def test_a_stream_gives_the_same_scores_and_reads_one_window_ahead(run: Path) -> None:
    predictor = Predictor.load(run)
    taken = 0

    def counted() -> Iterator[tuple[str, str]]:
        nonlocal taken
        for pair in PAIRS:
            taken += 1
            yield pair

    stream = predictor.stream(counted(), window=4)
    first = next(stream)
    assert taken == 4
    np.testing.assert_allclose([first, *stream], predictor.scores(PAIRS), atol=1e-6)


def test_no_pairs_have_no_scores(run: Path) -> None:
    assert Predictor.load(run).scores([]).shape == (0,)
    assert list(Predictor.load(run).stream([])) == []


def test_a_completion_that_is_too_long_is_named(run: Path) -> None:
    pairs = [PAIRS[0], ("A prompt.", "blood " * 400)]
    with pytest.raises(DataError, match="row 1: the completion has"):
        Predictor.load(run).scores(pairs)
    with pytest.raises(DataError, match="line 9: the completion has"):
        Predictor.load(run).scores(pairs, names=["line 8", "line 9"])


def test_the_threshold_comes_from_the_folder_and_is_unknown_without_one(run: Path, tmp_path: Path) -> None:
    assert Predictor.load(run).threshold == 0.25
    assert Predictor.load(run / "checkpoints" / "best.ckpt").threshold == 0.25
    lone = tmp_path / "lone.ckpt"
    lone.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    assert Predictor.load(lone).threshold is None


def test_the_folder_that_a_sweep_copies_its_best_trial_to_is_loaded(run: Path, tmp_path: Path) -> None:
    RunFolder(run).config.write_text("name: best")
    record = SimpleNamespace(folder=run, number=0, value=0.5, params={})
    _, copied = copy_best(SimpleNamespace(best=lambda: record, name="quick", folder=tmp_path, visible=True))
    assert copied.path == tmp_path / "best"
    predictor = Predictor.load(copied.path)
    assert predictor.threshold == 0.25
    np.testing.assert_array_equal(predictor.scores(PAIRS), Predictor.load(run).scores(PAIRS))


def test_scores_are_those_of_the_module_that_was_saved(tmp_path: Path) -> None:
    module = tiny_classifier(seed=3, model={"freeze_layers": 2})
    path = fitted_checkpoint(tmp_path, module)
    np.testing.assert_allclose(Predictor.load(path).scores(PAIRS), Predictor(module).scores(PAIRS), atol=1e-7)


def test_the_best_checkpoint_comes_before_the_last(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    folder.last.touch()
    assert locate_checkpoint(tmp_path) == (folder.last, folder.threshold)
    folder.best.touch()
    assert locate_checkpoint(tmp_path) == (folder.best, folder.threshold)
    assert locate_checkpoint(folder.last) == (folder.last, folder.threshold)
    lone = tmp_path / "lone.ckpt"
    lone.touch()
    assert locate_checkpoint(lone) == (lone, tmp_path / "threshold.json")


@pytest.mark.parametrize("name", ["", "missing", "missing.ckpt"])
def test_no_checkpoint_is_one_line_that_says_what_to_give(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"holds no checkpoint; give a run folder.*\.ckpt file$") as raised:
        Predictor.load(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)


def test_a_file_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match=r"text\.ckpt cannot be read as a checkpoint"):
        Predictor.load(tmp_path / "text.ckpt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="no checkpoint of a classifier of this project"):
        Predictor.load(tmp_path / "other.ckpt")


def test_weights_that_do_not_fit_their_own_hyperparameters_are_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content["hyper_parameters"]["model"]["head_hidden"] = 8
    torch.save(content, tmp_path / "changed.ckpt")
    with pytest.raises(CheckpointError, match=r"another architecture: model\.head\.") as raised:
        Predictor.load(tmp_path / "changed.ckpt")
    assert "\n" not in str(raised.value)


def test_a_device_that_is_not_there_is_one_line(run: Path) -> None:
    missing = "cuda:99"
    with pytest.raises(CapabilityError, match=missing) as raised:
        Predictor.load(run, device=missing)
    assert "\n" not in str(raised.value)


def test_a_batch_needs_a_pair() -> None:
    with pytest.raises(ConfigError, match="batch_size must be at least 1, got 0"):
        Predictor(tiny_classifier(), batch_size=0)


def test_windows_keep_order_and_leave_nothing_out() -> None:
    assert list(windows(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(windows([], 3)) == []
