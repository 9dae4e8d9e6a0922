import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from nines.errors import CapabilityError, ConfigError
from nines.models.classifier import PairClassifier, build_pair_classifier
from nines.models.dropout import DropoutOptions
from nines.models.encoders import load_encoder
from nines.models.likelihood import Likelihood, StandardisedFeatures, likelihood_features
from nines.models.pairs import PairTokenizer
from nines.models.trunk_cache import TrunkCache
from nines.models.weights import resolve

PAIRS = [
    ("The road was dark. A car turned over.", "She screamed, and blood ran over her face."),
    ("He laughed.", "No."),
    ("The night was cold, and nothing moved in the house.", "He fell down the stairs and broke his leg."),
]


@pytest.fixture
def tied(tmp_path: Path) -> Path:
    """The tiny language model with its embeddings as output head, as SmolLM2 has it."""
    folder = tmp_path / "tied"
    shutil.copytree(resolve("tiny:llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    state = load_file(folder / "model.safetensors")
    del state["lm_head.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def classifier_on(folder: Path, **options: object) -> PairClassifier:
    given = {"likelihood": True, "layers": 2, "freeze_layers": 4, **options}
    return build_pair_classifier(f"path:{folder}", **given)  # type: ignore[arg-type]


def test_states_and_log_probabilities_are_those_of_transformers(tied: Path) -> None:
    encoder = load_encoder(tied, dropout=DropoutOptions()).eval()
    batch = PairTokenizer(f"path:{tied}").encode(PAIRS).collate([0, 1, 2])
    found = Likelihood(encoder, layer=2).states(batch)
    whole = AutoModelForCausalLM.from_pretrained(tied).eval()
    for row in range(3):
        ids = batch["input_ids"][row][batch["attention_mask"][row]][None]
        output = whole(ids, output_hidden_states=True)
        torch.testing.assert_close(found[row, : ids.shape[1], :-1], output.hidden_states[2][0], atol=1e-5, rtol=1e-4)
        expected = output.logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        inside = batch["completion_mask"][row, 1 : ids.shape[1]]
        torch.testing.assert_close(found[row, 1 : ids.shape[1], -1], expected * inside, atol=1e-5, rtol=1e-4)


def test_sum_mean_and_number_by_hand() -> None:
    log_probs = torch.tensor([[0.0, -1.0, -2.0, -6.0], [0.0, 0.0, -5.0, 7.0]])
    mask = torch.tensor([[False, True, True, True], [False, False, True, False]])
    assert likelihood_features(log_probs, mask).tolist() == [[-9.0, -3.0, 3.0], [-5.0, -5.0, 1.0]]


def test_columns_are_standardised_by_what_training_saw_and_one_row_alone_is_no_error() -> None:
    torch.manual_seed(0)
    features = StandardisedFeatures(4).train()
    pooled = torch.randn(600, 4) * torch.tensor([0.1, 1.0, 50.0, 3.0]) + 7
    log_probs, mask = -5 * torch.rand(600, 9), torch.rand(600, 9) < 0.7
    found = features(pooled, log_probs, mask)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(7), atol=1e-3, rtol=0)
    expected = torch.tensor([0.5] * 4 + [1.0] * 3)  # four states together weigh as much as one figure
    torch.testing.assert_close(found.std(dim=0), expected, atol=5e-2, rtol=0)
    alone = features(pooled[:1], log_probs[:1], mask[:1])
    torch.testing.assert_close(alone, features.eval()(pooled, log_probs, mask)[:1])


def test_only_the_head_learns_and_what_the_cache_keeps_gives_the_same_logits(tied: Path, tmp_path: Path) -> None:
    classifier = classifier_on(tied).eval()
    pairs = PairTokenizer(f"path:{tied}").encode(PAIRS)
    trained = [name for name, parameter in classifier.named_parameters() if parameter.requires_grad]
    assert trained == ["head.output.weight", "head.output.bias"]
    kept = TrunkCache.open_or_build(
        classifier, pairs, tokenizer_fingerprint="t", precision="32-true", folder=tmp_path / "trunk"
    )
    expected = classifier(pairs.collate([0, 1, 2]))
    torch.testing.assert_close(classifier(kept.collate([0, 1, 2])), expected, atol=1e-5, rtol=1e-4)
    alone = torch.cat([classifier(pairs.collate([row])) for row in range(3)])
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-4)


def test_states_of_another_layer_have_a_cache_of_their_own(tied: Path, tmp_path: Path) -> None:
    pairs = PairTokenizer(f"path:{tied}").encode(PAIRS)
    kept = [
        TrunkCache.open_or_build(
            classifier_on(tied, layers=layer), pairs, tokenizer_fingerprint="t", precision="32-true", folder=tmp_path
        ).hidden
        for layer in (1, 3)
    ]
    assert not torch.equal(kept[0][:, :-1], kept[1][:, :-1])
    assert torch.equal(kept[0][:, -1], kept[1][:, -1])


def test_a_model_that_cannot_say_how_likely_a_text_is_is_refused() -> None:
    for source in ("tiny:bert", "tiny:llama"):
        with pytest.raises(CapabilityError, match="tied embeddings"):
            build_pair_classifier(source, likelihood=True, freeze_layers=4)


def test_layers_that_would_be_trained_are_refused(tied: Path) -> None:
    with pytest.raises(ConfigError, match=r"set module\.model\.freeze_layers=4"):
        classifier_on(tied, freeze_layers=3)
