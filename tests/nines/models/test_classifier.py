import copy

import pytest
import torch
from torch import Tensor, nn

from nines.errors import CapabilityError, ConfigError, WeightsError
from nines.models import weights
from nines.models.classifier import PairClassifier, build_pair_classifier
from nines.models.dropout import DropoutOptions
from nines.models.pairs import PairTokenizer

PAIRS = [
    ("The road was dark. A car turned over.", "She screamed, and blood ran over her face."),
    ("He laughed.", "No."),
    ("The night was cold, and nothing moved in the house.", "He fell down the stairs and broke his leg."),
]
FAMILIES = [f"tiny:{family}" for family in (*weights.TINY_FAMILIES, "llama")]
POOLINGS = ["cls", "mean", "max", "completion_mean", "completion_last"]
NO_DROPOUT = DropoutOptions(hidden=0.0, attention=0.0, head=0.0, embedding=0.0)


def _batch(source: str) -> dict[str, Tensor]:
    return PairTokenizer(source).encode(PAIRS).collate([0, 1, 2])


def _twins(source: str, freeze_layers: int, **options: object) -> tuple[PairClassifier, PairClassifier]:
    """The same classifier twice, all layers trained and some frozen, with equal heads."""
    whole = build_pair_classifier(source, dropout=NO_DROPOUT, **options)  # type: ignore[arg-type]
    frozen = build_pair_classifier(source, dropout=NO_DROPOUT, freeze_layers=freeze_layers, **options)  # type: ignore[arg-type]
    frozen.head.load_state_dict(whole.head.state_dict())
    return whole, frozen


def _loss_gradients(classifier: PairClassifier, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    classifier.zero_grad()
    logits = classifier(batch)
    (logits * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
    return logits, {name: p.grad for name, p in classifier.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("source", FAMILIES)
@pytest.mark.parametrize("freeze_layers", [1, 3, 4])
@pytest.mark.parametrize("pooling", ["cls", "completion_mean", "mean"])
def test_cached_frozen_and_plain_agree_in_logits_and_gradients(source: str, freeze_layers: int, pooling: str) -> None:
    whole, frozen = _twins(source, freeze_layers, pooling=pooling)
    batch = _batch(source)
    cached = {name: tensor for name, tensor in batch.items() if name not in {"input_ids", "token_type_ids"}}
    cached["hidden_states"] = frozen.trunk(batch)
    logits, gradients = _loss_gradients(whole, batch)
    for given in (batch, cached):
        frozen_logits, frozen_gradients = _loss_gradients(frozen, given)
        torch.testing.assert_close(frozen_logits, logits, atol=1e-5, rtol=1e-4)
        assert frozen_gradients.keys() == gradients.keys() - frozen.frozen_parameter_names()
        for name, gradient in frozen_gradients.items():
            torch.testing.assert_close(gradient, gradients[name], atol=1e-5, rtol=1e-4)


def test_under_bf16_the_cached_hidden_states_give_the_very_same_logits() -> None:
    _, frozen = _twins("tiny:bert", 2)
    batch = _batch("tiny:bert")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = frozen.trunk(batch)
        cached = {**batch, "hidden_states": hidden}
        assert hidden.dtype == torch.bfloat16
        assert torch.equal(frozen(cached), frozen(batch))


@pytest.mark.parametrize("source", FAMILIES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_and_neighbours_do_not_change_a_logit(source: str, pooling: str) -> None:
    classifier = build_pair_classifier(source, pooling=pooling, head_hidden=8).eval()
    pairs = PairTokenizer(source).encode(PAIRS)
    together = classifier(pairs.collate([0, 1, 2]))
    alone = torch.cat([classifier(pairs.collate([row])) for row in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["cls", "completion_mean"])
def test_a_narrowed_last_layer_changes_nothing(pooling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, _ = _twins("tiny:bert", 0, pooling=pooling)
    with monkeypatch.context() as patch:
        patch.setattr("nines.models.classifier.can_narrow", lambda *_: False)
        whole, _ = _twins("tiny:bert", 0, pooling=pooling)
    whole.head.load_state_dict(narrow.head.state_dict())
    logits, gradients = _loss_gradients(narrow, _batch("tiny:bert"))
    expected_logits, expected = _loss_gradients(whole, _batch("tiny:bert"))
    torch.testing.assert_close(logits, expected_logits, atol=1e-5, rtol=1e-4)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("source", FAMILIES)
def test_frozen_parts_stay_in_eval_mode_and_keep_their_values(source: str) -> None:
    kind = "attention" if source == "tiny:llama" else "hidden"  # the only dropout that a Llama has
    classifier = build_pair_classifier(source, freeze_layers=2, dropout=DropoutOptions(**{kind: 0.5, "head": 0.0}))
    classifier.eval().train()
    batch = _batch(source)
    assert torch.equal(classifier.trunk(batch), classifier.trunk(batch)), "no dropout below"
    assert not torch.equal(classifier(batch), classifier(batch)), "dropout above"
    before = {name: p.detach().clone() for name, p in classifier.named_parameters()}
    optimizer = torch.optim.SGD([p for p in classifier.parameters() if p.requires_grad], lr=1.0)
    classifier(batch).sum().backward()
    optimizer.step()
    changed = {name for name, p in classifier.named_parameters() if not torch.equal(p, before[name])}
    assert changed.isdisjoint(classifier.frozen_parameter_names())
    assert any(name.startswith("head.") for name in changed)
    assert {classifier.depth_of(name) for name in changed} == {3, 4, 5}


@pytest.mark.parametrize("source", FAMILIES)
def test_depth_runs_from_embeddings_through_layers_to_the_head(source: str) -> None:
    classifier = build_pair_classifier(source)
    depths = {name: classifier.depth_of(name) for name, _ in classifier.named_parameters()}
    assert set(depths.values()) == set(range(classifier.layer_count + 2))
    assert all(depth == 0 for name, depth in depths.items() if "embed" in name)
    assert all((depth == 5) == name.startswith("head.") for name, depth in depths.items())
    some = next(name for name, depth in depths.items() if depth == 3)
    assert classifier.depth_of(f"module.classifier.{some}") == 3
    with pytest.raises(ValueError, match="no parameter of a classifier"):
        classifier.depth_of("loss.margin")


def test_parameters_are_listed_once_although_stages_share_them() -> None:
    classifier = build_pair_classifier("tiny:bert", freeze_layers=2)
    names = [name for name, _ in classifier.named_parameters(remove_duplicate=False)]
    assert len(names) == len(set(names)) == len(list(classifier.parameters()))
    assert set(classifier.state_dict()) == set(names)


def test_a_copy_trains_apart_from_the_original() -> None:
    original = build_pair_classifier("tiny:bert", freeze_layers=2, dropout=NO_DROPOUT)
    copied = copy.deepcopy(original)
    batch = _batch("tiny:bert")
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert copied(batch).abs().max() == 0
    assert original(batch).abs().max() > 0


def test_each_mask_of_the_head_gives_a_sample_while_training_and_one_otherwise() -> None:
    classifier = build_pair_classifier(
        "tiny:bert", dropout=DropoutOptions(hidden=0.0, embedding=0.0, head=0.5, multi_sample=4)
    )
    batch = _batch("tiny:bert")
    samples = classifier.sample_logits(batch)
    assert samples.shape == (4, 3)
    assert samples.unique().numel() == 12
    assert classifier(batch).shape == (3,)
    assert classifier.eval().sample_logits(batch).shape == (1, 3)


def test_skipping_layers_reaches_the_trained_ones_only() -> None:
    classifier = build_pair_classifier(
        "tiny:bert", freeze_layers=3, dropout=DropoutOptions(hidden=0.0, head=0.0, layer_drop=0.5)
    )
    batch = _batch("tiny:bert")
    assert torch.equal(classifier.trunk(batch), classifier.trunk(batch))
    assert len({tuple(classifier(batch).tolist()) for _ in range(20)}) > 1


@pytest.mark.parametrize("freeze_layers", [-1, 5])
def test_more_layers_than_there_are_cannot_be_frozen(freeze_layers: int) -> None:
    with pytest.raises(ConfigError, match=f"freeze_layers={freeze_layers}: tiny:bert has 4 layers"):
        build_pair_classifier("tiny:bert", freeze_layers=freeze_layers)


def test_a_dropout_on_frozen_parts_only_is_refused() -> None:
    with pytest.raises(CapabilityError, match="embeddings"):
        build_pair_classifier("tiny:bert", freeze_layers=1, dropout=DropoutOptions(embedding=0.1))


def test_without_frozen_layers_there_is_no_trunk() -> None:
    with pytest.raises(ConfigError, match="no frozen layers"):
        build_pair_classifier("tiny:bert").trunk(_batch("tiny:bert"))


def test_the_fingerprint_is_that_of_the_source() -> None:
    classifier = build_pair_classifier("tiny:bert")
    assert classifier.fingerprint() == weights.fingerprint("tiny:bert") != weights.fingerprint("tiny:deberta")


def test_minilm_itself_gives_the_sentence_vectors_that_it_is_known_for() -> None:
    """all-MiniLM-L6-v2's mean of tokens puts sentences of one meaning near each other (its model card's own use)."""
    try:
        classifier = build_pair_classifier(weights.EMBEDDED_SOURCE, pooling="mean", dropout=NO_DROPOUT).eval()
    except WeightsError as error:
        pytest.skip(f"the embedded encoder cannot be fetched here: {error}")
    texts = [("", "A man broke his leg."), ("", "Someone fractured a bone."), ("", "The soup tastes of lemon.")]
    with torch.no_grad():
        vectors = nn.functional.normalize(
            classifier.pooled(PairTokenizer(weights.EMBEDDED_SOURCE).encode(texts).collate([0, 1, 2]))
        )
    same, other = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert classifier.layer_count == 6
    assert same > other + 0.3
