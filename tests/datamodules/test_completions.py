import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.completions import LabelledCompletions
from datamodules.loader import EvaluationLoader
from nines.errors import ConfigError, DataError


def module(**options: Any) -> LabelledCompletions:
    return LabelledCompletions(**{"tokenizer": "tiny:bert", "max_tokens": 128, **options})


@pytest.fixture(scope="module")
def embedded() -> LabelledCompletions:
    data = module()
    data.setup("fit")
    return data


def write(folder: Path, **splits: list[dict[str, Any]]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def rows(names: str, *, labels: str = "yes no") -> list[dict[str, Any]]:
    return [
        {"prompt": f"Prompt {name}.", "completion": f"It was {label}, twice.", "label": label}
        for name in names.split()
        for label in labels.split()
    ]


def test_the_loss_is_told_the_mixtures_own_counts(embedded: LabelledCompletions) -> None:
    counts = embedded.class_counts()
    assert (counts.positives, counts.negatives) == (1576, 3006)
    skewed = module(mixture=28).class_counts()
    assert (skewed.positives, skewed.negatives) == (107, 3006)


def test_a_training_epoch_has_each_certain_row_once_with_its_target(embedded: LabelledCompletions) -> None:
    batches = list(embedded.train_dataloader())
    seen = torch.cat([batch["row"] for batch in batches]).numpy()
    labels = embedded.rows("train").labels
    assert sorted(seen) == np.flatnonzero(labels >= 0).tolist()
    np.testing.assert_array_equal(torch.cat([batch["target"] for batch in batches]).numpy(), labels[seen])
    assert all((batch["weight"] == 1).all() for batch in batches)


def test_the_tokens_in_a_batch_are_those_of_its_rows(embedded: LabelledCompletions) -> None:
    batch = next(iter(embedded.val_dataloader()))
    expected = embedded.pairs("valid").collate(batch["row"].numpy())
    for name, tensor in expected.items():
        assert torch.equal(batch[name], tensor)
    text = embedded.texts("valid")[int(batch["row"][0])]
    alone = embedded._pair_tokenizer().encode([text])
    assert batch["input_ids"][0][batch["attention_mask"][0]].tolist() == alone.input_ids.tolist()


def test_evaluation_keeps_unsure_rows_with_label_minus_one_and_no_weight(embedded: LabelledCompletions) -> None:
    batches = list(embedded.val_dataloader())
    assert sorted(torch.cat([batch["row"] for batch in batches]).tolist()) == list(range(1314))
    target, weight = (torch.cat([batch[name] for batch in batches]) for name in ("target", "weight"))
    assert int((target == -1).sum()) == 25
    assert torch.equal(weight, (target >= 0).float())


def test_rows_of_a_split_describe_it_in_one_order(embedded: LabelledCompletions) -> None:
    described = embedded.rows("test")
    completions = embedded.completions("test")
    assert len(described) == len(completions) == len(embedded.texts("test")) == 1596
    assert [row.label_number for row in completions] == described.labels.tolist()
    assert len(set(described.prompts.tolist())) == 156
    natural = described.natural_weights
    assert ((natural > 0) == (described.sources == "generated")).all()
    unsure, injurious = (natural[described.labels == label].sum() for label in (-1, 1))
    assert unsure / injurious == pytest.approx(2.3 / 1.3, abs=0.1)  # both rounded in the data's description


def test_the_test_sets_come_in_the_order_that_their_names_have(embedded: LabelledCompletions) -> None:
    names = embedded.splits("test")
    assert names == ("test", "adversarial", "minimal_pairs")
    loaders = embedded.test_dataloader()
    assert [sum(len(batch["row"]) for batch in loader) for loader in loaders] == [1596, 100, 50]
    assert isinstance(loaders[0], EvaluationLoader)
    pairs = embedded.rows("minimal_pairs")
    assert len(set(pairs.prompts.tolist())) == 25, "the halves of a minimal pair belong to one cluster"
    assert pairs.labels.reshape(25, 2).sum(axis=1).tolist() == [1] * 25


def test_each_rank_takes_its_own_part_of_training_and_evaluation() -> None:
    seen: dict[str, list[int]] = {"train": [], "valid": []}
    for rank in range(3):
        data = module(limit_rows=200)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)  # type: ignore[assignment]
        for name, loader in (("train", data.train_dataloader()), ("valid", data.val_dataloader())):
            seen[name] += [row for batch in loader for row in batch["row"].tolist()]
    assert sorted(seen["train"]) == module(limit_rows=200).mixture().rows.tolist()
    assert sorted(seen["valid"]) == list(range(200))


def test_hidden_states_replace_the_tokens_of_their_split_only() -> None:
    data = module(limit_rows=40)
    hidden = SimpleNamespace(collate=lambda chosen: {"hidden_states": torch.zeros(len(chosen), 5, 2)})
    data.use_hidden("valid", hidden)  # type: ignore[arg-type]
    assert set(next(iter(data.val_dataloader()))) == {"hidden_states", "target", "weight", "row"}
    assert "input_ids" in next(iter(data.train_dataloader()))


def test_a_soft_mixture_hands_out_halves_and_natural_weights_reach_the_batches() -> None:
    soft = module(unsure="soft", sources=["generated"], loss_weights="natural")
    batches = list(soft.train_dataloader())
    target, weight = (torch.cat([batch[name] for batch in batches]) for name in ("target", "weight"))
    assert int((target == 0.5).sum()) == 31
    assert float(weight.mean()) == pytest.approx(1, abs=1e-5)
    assert float(weight.std()) > 0.1
    counts = soft.class_counts()
    assert counts.positives == pytest.approx(float((target * weight).sum()), rel=1e-5)


def test_every_epoch_of_an_undersampled_mixture_has_as_many_batches_but_other_rows() -> None:
    loader = module(mixture=28, resampling="undersample").train_dataloader()
    epochs = [{row for batch in loader for row in batch["row"].tolist()} for _ in range(2)]
    assert len(epochs[0]) == len(epochs[1]) == 2 * 107
    assert epochs[0] != epochs[1]


def test_prompts_that_leak_stop_training_unless_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, train=rows("a b c"), valid=rows("d"), test=rows("A", labels="no"))
    (tmp_path / "test.jsonl").write_text(json.dumps({"prompt": "PROMPT a.", "completion": "x", "label": "no"}))
    with pytest.raises(DataError, match=r"one prompt lies in more than one split \(test, train\).*allow_leaks=true"):
        module(path=path).setup("fit")
    module(path=path, allow_leaks=True).setup("fit")
    module(path=path).setup("test")


def test_training_without_a_validation_split_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, train=rows("a b"))
    with pytest.raises(DataError, match="has no valid split, which training needs"):
        module(path=path).setup("fit")


def test_testing_without_a_test_split_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, train=rows("a b"), valid=rows("c"))
    with pytest.raises(DataError, match="has no test or adversarial or minimal_pairs split"):
        module(path=path).test_dataloader()


def test_an_unknown_split_is_named_with_the_nearest(embedded: LabelledCompletions) -> None:
    with pytest.raises(DataError, match="did you mean 'valid'"):
        embedded.rows("valdi")


def test_a_completion_that_does_not_fit_names_file_and_split(tmp_path: Path) -> None:
    long = [{"prompt": "a", "completion": "word " * 60, "label": "no"}]
    path = write(tmp_path, train=[*rows("b"), *long], valid=rows("c"))
    with pytest.raises(DataError, match=rf"{path}, split 'train': .*\n  row 2"):
        module(path=path, max_tokens=32).pairs("train")


def test_disjoint_shares_have_no_training_prompt_in_common_and_leave_other_splits_whole() -> None:
    one, two = module(share=[0, 0.4]), module(share=[0.4, 1])
    first, second = ({row.prompt for row in data.completions("train")} for data in (one, two))
    assert first
    assert not first & second
    assert len(first | second) == 507
    assert all(one.completions(split) == two.completions(split) for split in ("valid", "test", "adversarial"))
    trained = {one.completions("train")[row].prompt for batch in one.train_dataloader() for row in batch["row"]}
    assert trained == first


def test_a_share_without_any_row_is_refused() -> None:
    with pytest.raises(DataError, match="no training rows within share"):
        module(share=[0, 1e-9]).setup("fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit_rows": 0}, "limit_rows=0 must be at least 1"),
        ({"shares": [0.5, 0.5]}, "three shares"),
        ({"share": [0.5, 0.2]}, "0 <= start < end <= 1"),
        ({"unsure": "keep"}, "datamodule.unsure='keep' is unknown"),
        ({"mixture": -1}, "datamodule.mixture=-1 must be above 0"),
    ],
)
def test_options_out_of_range_are_refused_when_the_module_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        module(**options)
