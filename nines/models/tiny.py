"""Small random models with a tokenizer, made by code: they load like real ones, need no network, train in seconds."""

from __future__ import annotations

import json
import string
import tempfile
from pathlib import Path
from typing import Any

VERSION = 2
"""Part of the folder's name: raise it when the recipe changes, so that no old folder is taken for a new one."""

_PADDING, _END = "<|pad|>", "<|end|>"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = """
the a an and or but of to in on at by for from with without into over under off out up down as is was were be
been had has have did do does not  no he she it they we i you his her its their them him me my your our this
that these those there then when while before after again still just  who what where how why all one two three
some any each other more most very too so if than because said asked told looked saw heard felt knew  went came
turned took made got ran fell hit cut broke broken burned hurt pain blood bleeding wound injured leg arm hand
head face back eyes door  room house night day water fire car road knife gun man woman boy girl child mother
father friend dog laughed smiled cried screamed walked stood  sat lay held pulled pushed opened closed hospital
doctor bandage bruise scream safe quiet slowly quickly never always nothing something everyone
""".split()  # noqa: SIM905  a list literal would be 200 lines


def tiny_folder(family: str, root: Path) -> Path:
    """Where the tiny model of `family` lies once it is written."""
    return root / "tiny" / f"{family}-v{VERSION}"


def write_tiny(family: str, root: Path, *, seed: int = 0) -> Path:
    """Write a random model of `family` below `root`: an encoder (bert, deberta, modernbert), a language model (llama).

    Encoders get a WordPiece tokenizer, the language model one on bytes. Four layers of width 32, so that some can be
    frozen and some trained. The same family and seed give the same parameters on every machine with the same torch.

    Returns:
        The folder, as `tiny_folder` names it; it appears as a whole.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModel, AutoModelForCausalLM

    # Untyped in transformers.
    make: Any = AutoModelForCausalLM.from_config if family == "llama" else AutoModel.from_config
    target = tiny_folder(family, root)
    target.parent.mkdir(parents=True, exist_ok=True)
    vocabulary = tiny_vocabulary()
    byte_pairs = _byte_pair_tokenizer() if family == "llama" else None
    size = byte_pairs.get_vocab_size() if byte_pairs is not None else len(vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(_config(family, vocabulary_size=size))
    with tempfile.TemporaryDirectory(prefix=".tiny-", dir=target.parent) as temporary:
        folder = Path(temporary) / "model"
        model.config.save_pretrained(folder)
        # Not model.save_pretrained: that draws a progress bar for a file of 300 kB.
        save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
        if byte_pairs is not None:
            byte_pairs.save(str(folder / "tokenizer.json"))
            _write_settings(folder, {"pad_token": _PADDING, "eos_token": _END})
        else:
            _write_tokenizer(folder, vocabulary)
        folder.replace(target)
    return target


def tiny_vocabulary() -> list[str]:
    """The pieces in the order of their ids: special tokens, letters and pairs of letters, punctuation, common words."""
    letters = string.ascii_lowercase
    pairs = [first + second for first in letters for second in letters]
    stems = [*string.digits, *letters, *pairs]
    pieces = [
        *_SPECIAL,
        *stems,
        *(f"##{stem}" for stem in stems),
        "##ing",
        "##tion",
        "##ness",
        *string.punctuation,
        *_WORDS,
    ]
    return list(dict.fromkeys(pieces))


def _config(family: str, *, vocabulary_size: int) -> Any:
    from transformers import AutoConfig

    shape: dict[str, Any] = {
        "vocab_size": vocabulary_size,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
    }
    if family == "deberta":
        # What makes DeBERTa-v3 differ from BERT: relative positions in log buckets, a convolution, no token types.
        shape |= {
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
        }
        shape |= {
            "pos_att_type": "p2c|c2p",
            "position_biased_input": False,
            "type_vocab_size": 0,
            "conv_kernel_size": 3,
        }
    elif family == "modernbert":
        shape |= {"cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
        shape |= {"local_attention": 16, "layer_types": ["full_attention", "sliding_attention"] * 2}
    elif family == "llama":
        shape |= {"num_key_value_heads": 2, "eos_token_id": 1, "bos_token_id": None, "tie_word_embeddings": False}
    return AutoConfig.for_model("deberta-v2" if family == "deberta" else family, **shape)


def _write_tokenizer(folder: Path, vocabulary: list[str]) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    ids = {piece: position for position, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    _write_settings(folder, names)


def _write_settings(folder: Path, special_tokens: dict[str, str]) -> None:
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **special_tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def _byte_pair_tokenizer() -> Any:
    """A byte-level tokenizer that gives back any text unchanged, with the common words as single tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=[_PADDING, _END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f" {word}" for word in _WORDS), trainer)
    return tokenizer
