import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from nines.models.tiny import tiny_vocabulary, write_tiny
from nines.models.weights import TINY_FAMILIES


@pytest.mark.parametrize("family", TINY_FAMILIES)
def test_transformers_loads_what_was_written(family: str, tmp_path: Path) -> None:
    folder = write_tiny(family, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = AutoModel.from_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)("The man fell.", "His leg was broken.", return_tensors="pt")
    hidden = model(tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
    assert hidden.shape == (1, tokens["input_ids"].shape[1], 32)
    assert hidden.isfinite().all()


def test_the_same_seed_gives_the_same_parameters_and_leaves_the_callers_generator_alone(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    first, again, other = (
        load_file(write_tiny("bert", tmp_path / name, seed=seed) / "model.safetensors")
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_vocabulary_spells_any_lower_case_word_without_unknowns(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(write_tiny("bert", tmp_path))
    assert tokenizer.tokenize("zxqj injured Bleeding42!") == ["zx", "##qj", "injured", "bleeding", "##4", "##2", "!"]
    assert len(set(tiny_vocabulary())) == len(tiny_vocabulary())


def test_modernbert_has_both_kinds_of_attention(tmp_path: Path) -> None:
    config = AutoModel.from_pretrained(write_tiny("modernbert", tmp_path)).config
    assert set(config.layer_types) == {"full_attention", "sliding_attention"}


def test_the_tiny_language_model_loads_generates_and_gives_back_any_text(tmp_path: Path) -> None:
    folder = write_tiny("llama", tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = 'He fell – "hard" – and cried 🙂.'
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer(" hospital")["input_ids"]) == 1
    tokens = tokenizer("The man fell", return_tensors="pt")
    grown = model.generate(**tokens, max_new_tokens=5, do_sample=False, eos_token_id=None)
    assert grown.shape == (1, tokens["input_ids"].shape[1] + 5)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1)


def test_the_byte_pairs_are_the_same_each_time(tmp_path: Path) -> None:
    first, again = ((write_tiny("llama", tmp_path / name) / "tokenizer.json").read_text() for name in "ab")
    assert first == again
