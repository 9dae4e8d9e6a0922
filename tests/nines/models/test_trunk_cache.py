import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nines.errors import CapabilityError, StorageError
from nines.models import trunk_cache
from nines.models.classifier import PairClassifier, build_pair_classifier
from nines.models.dropout import DropoutOptions
from nines.models.pairs import EncodedPairs, PairTokenizer
from nines.models.trunk_cache import CachedHidden, TrunkCache, length_sorted_batches, trunk_fingerprint

WORDS = "the man woman fell down road car blood house night ran over broke his her leg arm and".split()  # noqa: SIM905


def _pairs(count: int = 40, *, source: str = "tiny:bert") -> EncodedPairs:
    rng = np.random.default_rng(0)
    texts = [
        (" ".join(rng.choice(WORDS, rng.integers(1, 30))), " ".join(rng.choice(WORDS, rng.integers(1, 12))))
        for _ in range(count)
    ]
    return PairTokenizer(source).encode(texts)


def _open(
    classifier: PairClassifier, pairs: EncodedPairs, folder: Path, *, precision: str = "32-true", **options: Any
) -> CachedHidden:
    return TrunkCache.open_or_build(
        classifier, pairs, tokenizer_fingerprint="tokens", precision=precision, folder=folder, **options
    )


@pytest.mark.parametrize("source", ["tiny:bert", "tiny:deberta", "tiny:modernbert"])
def test_a_cached_batch_gives_the_logits_of_the_whole_classifier(source: str, tmp_path: Path) -> None:
    classifier, pairs = build_pair_classifier(source, freeze_layers=2).eval(), _pairs(source=source)
    cached = _open(classifier, pairs, tmp_path)
    rows = [3, 17, 0, 39]
    batch = cached.collate(rows)
    assert set(batch) == {"hidden_states", "attention_mask", "completion_mask"}
    assert batch["hidden_states"].dtype == torch.float32
    torch.testing.assert_close(classifier(batch), classifier(pairs.collate(rows)), atol=1e-5, rtol=1e-4)
    assert cached.lengths.tolist() == pairs.lengths.tolist()
    assert len(cached) == len(pairs)


def test_bf16_is_kept_bit_by_bit(tmp_path: Path) -> None:
    classifier, pairs = build_pair_classifier("tiny:bert", freeze_layers=2).eval(), _pairs()
    cached = _open(classifier, pairs, tmp_path, precision="bf16-mixed")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = classifier.trunk(pairs.collate([5]))
    kept = cached.collate([5])["hidden_states"]
    assert kept.dtype == torch.bfloat16
    torch.testing.assert_close(kept, expected, atol=0.02, rtol=0.02)  # the batch that it was computed in was another


def test_training_on_the_cache_gives_the_losses_of_training_without(tmp_path: Path) -> None:
    pairs = _pairs()
    targets = torch.arange(40).remainder(2).float()

    def losses(*, cache: bool) -> list[float]:
        torch.manual_seed(0)
        classifier = build_pair_classifier("tiny:bert", freeze_layers=2)
        source = _open(classifier, pairs, tmp_path) if cache else pairs
        torch.manual_seed(1)  # the same dropout masks
        optimizer = torch.optim.AdamW([p for p in classifier.parameters() if p.requires_grad], lr=1e-3)
        found = []
        for step in range(10):
            rows = np.arange(4) + 4 * step
            loss = torch.nn.functional.binary_cross_entropy_with_logits(classifier(source.collate(rows)), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    np.testing.assert_allclose(losses(cache=True), losses(cache=False), rtol=1e-4)


def test_the_second_to_ask_computes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, pairs = build_pair_classifier("tiny:bert", freeze_layers=2), _pairs()
    seen: list[tuple[int, int]] = []
    first = _open(classifier, pairs, tmp_path, progress=lambda *step: seen.append(step))
    assert seen[-1] == (int(pairs.lengths.sum()), int(pairs.lengths.sum()))
    monkeypatch.setattr(trunk_cache, "_build", lambda *_, **__: pytest.fail("computed again"))
    again = _open(build_pair_classifier("tiny:bert", freeze_layers=2), pairs, tmp_path)
    assert torch.equal(first.hidden, again.hidden)


def _ask(folder: Path, answers: Any) -> None:
    torch.set_num_threads(1)
    computed: list[int] = []
    classifier = build_pair_classifier("tiny:bert", freeze_layers=2)
    hidden = _open(classifier, _pairs(300), folder, progress=lambda done, _: computed.append(done)).hidden
    answers.put((bool(computed), float(hidden.double().sum())))


def test_processes_that_ask_at_once_compute_once(tmp_path: Path) -> None:
    forking = multiprocessing.get_context("fork")  # as the workers of a sweep start their trials
    answers = forking.Queue()
    asking = [forking.Process(target=_ask, args=(tmp_path, answers)) for _ in range(2)]
    for process in asking:
        process.start()
    found = [answers.get(timeout=120) for _ in asking]
    for process in asking:
        process.join(timeout=30)
    assert sorted(computed for computed, _ in found) == [False, True]
    assert found[0][1] == found[1][1]


def test_the_key_covers_weights_tokenizer_data_layer_and_precision(tmp_path: Path) -> None:
    classifier, pairs = build_pair_classifier("tiny:bert", freeze_layers=2), _pairs()
    _open(classifier, pairs, tmp_path)

    def kept() -> int:
        return sum(path.is_dir() for path in tmp_path.iterdir())

    assert kept() == 1
    _open(classifier, pairs, tmp_path, precision="bf16-true")
    _open(classifier, _pairs(20), tmp_path)
    _open(build_pair_classifier("tiny:bert", freeze_layers=1), pairs, tmp_path)
    TrunkCache.open_or_build(classifier, pairs, tokenizer_fingerprint="other", precision="32-true", folder=tmp_path)
    assert kept() == 5
    with torch.no_grad():
        classifier.encoder.get_parameter("encoder.layer.1.output.dense.bias").add_(1)
    _open(classifier, pairs, tmp_path)
    assert kept() == 6
    with torch.no_grad():
        classifier.encoder.get_parameter("encoder.layer.2.output.dense.bias").add_(1)
    _open(classifier, pairs, tmp_path)
    assert kept() == 6, "trained layers do not matter"


def test_a_build_that_fails_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, pairs = build_pair_classifier("tiny:bert", freeze_layers=2), _pairs()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _open(classifier, pairs, tmp_path, progress=interrupted)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(_open(classifier, pairs, tmp_path)) == 40


def test_a_disk_without_room_is_one_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = trunk_cache.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(trunk_cache.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(StorageError, match=r"module\.model\.trunk_cache=false") as caught:
        _open(build_pair_classifier("tiny:bert", freeze_layers=2), _pairs(), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_precision_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="not 16-mixed"):
        _open(build_pair_classifier("tiny:bert", freeze_layers=2), _pairs(), tmp_path, precision="16-mixed")


def test_the_fingerprint_of_the_trunk_is_that_of_equal_weights() -> None:
    first, again = (build_pair_classifier("tiny:bert", freeze_layers=2) for _ in range(2))
    assert trunk_fingerprint(first) == trunk_fingerprint(again), "heads differ, trunks do not"


def test_all_trials_of_a_dropout_sweep_share_one_trunk() -> None:
    options = [DropoutOptions(), DropoutOptions(hidden=0.3, attention=0.2, head=0.5), DropoutOptions(layer_drop=0.2)]
    prints = {trunk_fingerprint(build_pair_classifier("tiny:bert", freeze_layers=2, dropout=one)) for one in options}
    assert len(prints) == 1


def test_batches_hold_every_row_once_and_no_more_tokens_than_allowed() -> None:
    lengths = np.random.default_rng(1).integers(1, 120, size=500)
    batches = list(length_sorted_batches(lengths, tokens=1000))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(len(rows) * lengths[rows].max() <= 1000 for rows in batches)
    assert [row.tolist() for row in length_sorted_batches(np.array([5000, 3]), tokens=1000)] == [[0], [1]]
