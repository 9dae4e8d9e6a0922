import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from nines.errors import WeightsError
from nines.models import weights
from nines.models.gguf_weights import convert_gguf

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")


def write_llama(file: Path) -> None:
    """A Llama of one layer with 32-bit weights and four tokens, as llama.cpp would lay it out."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(32)
    writer.add_vocab_size(4)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(["<end>", "a", "b", "ab"])
    writer.add_token_merges(["a b"])
    writer.add_token_types([3, 1, 1, 1])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "token_embd.weight": (4, 64),
        "blk.0.attn_norm.weight": (64,),
        "blk.0.attn_q.weight": (64, 64),
        "blk.0.attn_k.weight": (32, 64),
        "blk.0.attn_v.weight": (32, 64),
        "blk.0.attn_output.weight": (64, 64),
        "blk.0.ffn_norm.weight": (64,),
        "blk.0.ffn_gate.weight": (64, 64),
        "blk.0.ffn_up.weight": (64, 64),
        "blk.0.ffn_down.weight": (64, 64),
        "output_norm.weight": (64,),
    }
    for name, shape in shapes.items():
        writer.add_tensor(name, torch.randn(shape, generator=generator).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_converted_model_computes_what_the_gguf_model_does(tmp_path: Path) -> None:
    file, folder = tmp_path / "small.gguf", tmp_path / "model"
    write_llama(file)
    convert_gguf(file, folder)
    converted = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    direct = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32)
    for parameter in direct.parameters():
        parameter.data = parameter.data.bfloat16().float()
    tokens = torch.tensor([[1, 2, 3, 1]])
    torch.testing.assert_close(converted(tokens).logits, direct(tokens).logits)
    assert AutoTokenizer.from_pretrained(folder)("ab")["input_ids"] == [3]
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + os.urandom(64))
    with pytest.raises(WeightsError, match=r"broken\.gguf cannot be read as GGUF") as caught:
        convert_gguf(file, tmp_path / "model")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_embedded_generator_continues_a_story() -> None:
    folder = weights.resolve(weights.EMBEDDED_GENERATOR_SOURCE)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    story = "It was raining when they came home. Anna hung up her coat, and her father went to the kitchen to open the"
    tokens = tokenizer(story, return_tensors="pt")
    with torch.inference_mode():
        loss = model(**tokens, labels=tokens["input_ids"]).loss
        following = tokenizer.decode(model(**tokens).logits[0, -1].argmax())
    assert following == " door"
    assert loss < 5  # a uniform guess over the vocabulary costs log(49152) = 10.8
