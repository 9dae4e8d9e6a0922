from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nines.errors import CapabilityError, ConfigError, DataError
from nines.models.language_model import LanguageModel, LanguageModelOptions, load_language_model, positions_within

TEXTS = ["The man was hurt and the dog ran.", "No.", "She laughed at the door of the house."]


def load(**options: Any) -> LanguageModel:
    torch.manual_seed(0)
    return load_language_model(LanguageModelOptions(**{"source": "tiny:llama", "upper_layers": 2, **options}))


def encode(model: LanguageModel) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens, mask = model.encode_prompts(TEXTS, max_tokens=30)
    asked = mask.clone()
    asked[torch.arange(len(TEXTS)), mask.int().argmax(dim=1)] = False  # nothing is before the first
    return tokens, mask, asked


def perturb(model: LanguageModel) -> None:
    """Change what is trained, as training would."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))


def test_prompts_are_padded_on_the_left_and_keep_their_end() -> None:
    model = load()
    tokens, mask = model.encode_prompts(TEXTS, max_tokens=6)
    assert tokens.shape == mask.shape == (3, 6)
    assert mask.sum(dim=1).tolist() == [6, 3, 6]
    assert mask[1].tolist() == [False] * 3 + [True] * 3
    whole = model.tokenizer(TEXTS[0])["input_ids"]
    assert tokens[0].tolist() == whole[-6:]
    assert TEXTS[0].endswith(model.decode(tokens[0].tolist()))


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(DataError, match="prompt 1 is empty"):
        load().encode_prompts(["a", ""], max_tokens=4)


def test_log_probabilities_are_those_of_the_logits_and_padding_changes_nothing() -> None:
    model = load()
    tokens, mask, asked = encode(model)
    found = model.completion_log_probs(tokens, mask, asked, temperature=0.5)
    assert found.dtype == torch.float32
    assert not found[~asked].any()
    for row, text in enumerate(TEXTS):
        alone = torch.tensor([model.tokenizer(text)["input_ids"]])
        logits = model(alone, torch.ones_like(alone, dtype=torch.bool))[0, :-1] / 0.5
        expected = torch.log_softmax(logits, dim=1).gather(1, alone[0, 1:, None]).squeeze(1)
        torch.testing.assert_close(found[row][asked[row]], expected, atol=1e-5, rtol=1e-4)


def test_the_first_token_of_a_row_has_no_probability() -> None:
    model = load()
    tokens, mask, _ = encode(model)
    with pytest.raises(DataError, match="nothing is before it"):
        model.completion_log_probs(tokens, mask, mask)


def test_texts_in_one_row_do_not_see_each_other() -> None:
    model = load()
    ids = [model.tokenizer(text)["input_ids"] for text in TEXTS]
    row = torch.tensor([[token for one in ids for token in one] + [model.pad] * 3])
    documents = torch.tensor([[number for number, one in enumerate(ids, 1) for _ in one] + [0] * 3])
    packed = model(row, documents > 0, documents=documents)[0]
    begin = 0
    for one in ids:
        alone = torch.tensor([one])
        expected = model(alone, torch.ones_like(alone, dtype=torch.bool))[0]
        torch.testing.assert_close(packed[begin : begin + len(one)], expected, atol=1e-5, rtol=1e-4)
        begin += len(one)
    crossing = model(row, documents > 0)[0]
    assert not torch.allclose(crossing[len(ids[0]) : len(ids[0]) + 2], packed[len(ids[0]) : len(ids[0]) + 2], atol=1e-3)


def test_positions_start_anew_with_each_text() -> None:
    documents = torch.tensor([[1, 1, 1, 2, 2, 0, 0], [1, 2, 3, 3, 3, 3, 0]])
    assert positions_within(documents).tolist() == [[0, 1, 2, 0, 1, 0, 1], [0, 0, 0, 1, 2, 3, 0]]


def test_what_is_trained_is_what_was_asked_for() -> None:
    trained = {
        train: {name for name, value in load(train=train).named_parameters() if value.requires_grad}
        for train in ("all", "lora", "upper")
    }
    assert {name for name, _ in load().named_parameters()} == trained["all"]
    assert trained["lora"]
    assert all(".lora_" in name for name in trained["lora"])
    layers = {name.split("layers.")[1].split(".")[0] for name in trained["upper"] if "layers." in name}
    assert layers == {"2", "3"}
    assert {name for name in trained["upper"] if "layers." not in name} == {"network.model.norm.weight"}


@pytest.mark.parametrize("train", ["all", "lora", "upper"])
def test_the_reference_is_the_model_before_training_and_goes_away_again(train: str) -> None:
    model = load(train=train)
    model.keep_reference()
    tokens, mask, asked = encode(model)
    before = model.completion_log_probs(tokens, mask, asked).detach()
    perturb(model)
    after = model.completion_log_probs(tokens, mask, asked).detach()
    assert not torch.allclose(before, after, atol=1e-3)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    with model.reference(), torch.no_grad():
        torch.testing.assert_close(model.completion_log_probs(tokens, mask, asked), before)
    torch.testing.assert_close(model.completion_log_probs(tokens, mask, asked), after)
    assert {name for name, value in model.named_parameters() if value.requires_grad} == trained


def test_a_reference_that_nobody_kept_is_refused() -> None:
    with pytest.raises(CapabilityError, match="keep_reference"), load(train="all").reference():
        pass


@pytest.mark.parametrize("train", ["all", "lora", "upper"])
def test_a_saved_folder_gives_the_same_model_back_with_adapters_merged(train: str, tmp_path: Path) -> None:
    model = load(train=train)
    perturb(model)
    for _ in range(2):  # the second replaces the first
        model.save_folder(tmp_path / "model")
    again = load(source=f"path:{tmp_path / 'model'}", train="all")
    assert not any(".lora_" in name or "base_layer" in name for name, _ in again.named_parameters())
    tokens, mask, _ = encode(model)
    torch.testing.assert_close(again(tokens, mask), model(tokens, mask), atol=1e-5, rtol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_tied_weights_are_saved_once_and_tied_again(tmp_path: Path) -> None:
    from safetensors import safe_open

    from nines.models.causal_loading import load_causal, save_causal
    from nines.models.weights import resolve

    network, tokenizer = load_causal(resolve("tiny:llama"))
    network.config.tie_word_embeddings = True
    network.tie_weights()
    assert network.lm_head.weight is network.model.embed_tokens.weight
    save_causal(network, tokenizer, tmp_path / "tied")
    with safe_open(tmp_path / "tied" / "model.safetensors", framework="pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 (no mapping)
    again, _ = load_causal(tmp_path / "tied")
    assert again.lm_head.weight is again.model.embed_tokens.weight
    torch.testing.assert_close(again.lm_head.weight, network.lm_head.weight)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    found = []
    for checkpointing in (False, True):
        model = load(gradient_checkpointing=checkpointing).train()
        tokens, mask, asked = encode(model)
        model.completion_log_probs(tokens, mask, asked).sum().backward()
        found.append({name: value.grad for name, value in model.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, msg=name)


def test_depths_rise_from_the_embeddings_to_the_norm() -> None:
    model = load(train="lora")
    depths = {name: model.depth_of(name) for name, _ in model.named_parameters()}
    assert depths["network.model.embed_tokens.weight"] == 0
    assert depths["network.model.layers.0.self_attn.q_proj.lora_A.default.weight"] == 1
    assert depths["network.model.layers.3.mlp.down_proj.lora_B.default.weight"] == 4
    assert depths["network.model.norm.weight"] == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train": "some"}, "all, lora or upper"),
        ({"lora_rank": 0}, "lora_rank"),
        ({"dropout": 1.0}, "dropout"),
        ({"train": "upper", "upper_layers": 9}, "4 layers only"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(**options)


def test_dropout_acts_in_training_only() -> None:
    model = load(dropout=0.5)
    tokens, mask, _ = encode(model)
    assert torch.equal(model(tokens, mask), model(tokens, mask))
    model.train()
    assert not torch.equal(model(tokens, mask), model(tokens, mask))
