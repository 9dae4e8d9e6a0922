from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.fiction import Fiction
from datamodules.order import Ranks
from nines.errors import ConfigError, DataError

AUTHORS = ("austen", "bronte", "carroll", "dickens")


def in_file_order(folder: Path, *, stories: int = 60) -> Path:
    """One file with all stories of the first author, then all of the second, and so on."""
    rows = [
        {"text": f"The house of {author} was {'very ' * (number % 7)}quiet at night {number}.", "source": author}
        for author in AUTHORS
        for number in range(stories)
    ]
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def fiction(path: object = "embedded:injury", **options: Any) -> Fiction:
    given = [str(one) for one in path] if isinstance(path, list) else str(path)
    return Fiction(**{"path": given, "tokenizer": "tiny:llama", "max_tokens": 64, "batch_size": 8, **options})


@pytest.mark.parametrize("bucket_steps", [1, 4])
def test_a_corpus_in_file_order_gives_batches_of_mixed_authors(tmp_path: Path, bucket_steps: int) -> None:
    data = fiction(in_file_order(tmp_path), bucket_steps=bucket_steps, shares=[0.9, 0.05, 0.05])
    texts = data.texts("train")
    authors = [len(set(texts.source[batch].tolist())) for batch in data.order().batches(0)]
    assert len(authors) > 20
    # Eight of four authors, drawn at random: a batch of fewer than two has a chance of 4 in 65,536.
    assert min(authors) >= 2
    assert np.mean(authors) > 2.8
    first = texts.source[np.concatenate(data.order().batches(0)[:5])]
    assert set(first.tolist()) == {0, 1, 2, 3}


def test_another_epoch_has_other_batches_of_the_same_texts(tmp_path: Path) -> None:
    order = fiction(in_file_order(tmp_path)).order()
    first, second = order.batches(0), order.batches(1)
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second))
    assert sorted(first[0]) != sorted(second[0])


def test_ranks_take_disjoint_texts_that_together_are_those_of_one(tmp_path: Path) -> None:
    path = in_file_order(tmp_path)
    one = fiction(path, batch_size=16, bucket_steps=1, drop_last=True).order()
    two = fiction(path, batch_size=8, bucket_steps=1, drop_last=True).order()
    for step, whole in enumerate(one.batches(0)):
        halves = []
        for rank in (0, 1):
            ranked = type(two)(**{**_fields(two), "ranks": Ranks(rank=rank, world_size=2)})
            halves.append(ranked.batches(0)[step])
        assert sorted(np.concatenate(halves)) == sorted(whole)


def _fields(order: Any) -> dict[str, Any]:
    names = ("lengths", "draw", "batch_size", "seed", "bucket_steps", "drop_last")
    return {name: getattr(order, name) for name in names}


def test_a_loader_put_back_in_place_goes_on_with_the_same_batches(tmp_path: Path) -> None:
    path = in_file_order(tmp_path)
    options: dict[str, Any] = {"weights": {"austen": 3, "dickens": 1}, "packed_tokens": 80}
    whole = list(fiction(path, **options).train_dataloader())
    stopped = fiction(path, **options).train_dataloader()
    passing = iter(stopped)
    for _ in range(3):
        next(passing)
    state = json.loads(json.dumps(stopped.state_dict()))
    resumed = fiction(path, **options).train_dataloader()
    resumed.load_state_dict(state)
    rest = list(resumed)
    assert len(rest) == len(whole) - 3
    for found, expected in zip(rest, whole[3:], strict=True):
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_report_tells_what_was_drawn_up_to_the_loaders_place_on_all_ranks(tmp_path: Path) -> None:
    data = fiction(in_file_order(tmp_path), weights={"austen": 3, "dickens": 1})
    assert data.drawn() == {}
    loader = data.train_dataloader()
    passing = iter(loader)
    seen = [next(passing) for _ in range(4)]
    tokens = sum(int(batch["mask"].sum()) for batch in seen)
    whole = data.drawn()["whole"]
    assert sum(figures["tokens"] for figures in whole.values()) == tokens
    assert sum(figures["documents"] for figures in whole.values()) == sum(len(batch["tokens"]) for batch in seen)
    loader.set_epoch(1)
    next(iter(loader))
    found = data.drawn()
    assert len(found["epochs"]) == 2
    assert found["epochs"][0]["austen"]["share"] == pytest.approx(0.75, abs=0.02)
    assert found["whole"]["bronte"]["documents"] == 0


def test_tokens_of_a_batch_are_those_of_the_epoch_over_its_steps(tmp_path: Path) -> None:
    data = fiction(in_file_order(tmp_path))
    batches = list(data.train_dataloader())
    mean = np.mean([int(batch["loss_mask"].sum()) for batch in batches])
    assert data.tokens_per_batch() == pytest.approx(float(mean))


def test_sources_and_labels_choose_texts_of_every_split() -> None:
    data = fiction(sources=["written"], labels=["no"], max_tokens=128)
    assert data.source_names("train") == ("written",)
    assert {story.label for split in ("train", "valid", "test") for story in data.stories(split)} == {"no"}
    assert len(data.stories("train")) == 502


def test_disjoint_shares_have_no_training_prompt_in_common_and_leave_validation_whole() -> None:
    one, two = fiction(share=[0, 0.4]), fiction(share=[0.4, 1])
    first = {story.prompt for story in one.stories("train")}
    second = {story.prompt for story in two.stories("train")}
    assert first
    assert not first & second
    assert len(first | second) == 507
    assert one.stories("valid") == two.stories("valid")


def test_several_paths_are_put_together(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "train.txt").write_text("A story.", encoding="utf-8")
    data = fiction([in_file_order(tmp_path), tmp_path / "more"])
    assert set(data.source_names("train")) == {*AUTHORS, "more"}


def test_every_validation_text_is_evaluated_once(tmp_path: Path) -> None:
    data = fiction(in_file_order(tmp_path), packed_tokens=64, evaluation_batch_size=5)
    counted = sum(int(batch["loss_mask"].sum()) for batch in data.val_dataloader())
    assert counted == int(data.texts("valid").loss_tokens.sum())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"packed_tokens": 32}, "packed_tokens must be at least max_tokens"),
        ({"loss_on": "prompt"}, "loss_on"),
        ({"share": [0.5, 0.5]}, "share must be"),
        ({"sources": ["writen"]}, "did you mean 'written'"),
        ({"labels": ["maybe"]}, "no text is left"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        fiction(**options).stories("train")


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("A story.", encoding="utf-8")
    with pytest.raises(DataError, match="no text is left for the split 'valid'"):
        fiction(tmp_path).setup("fit")
