from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel

from nines.errors import CapabilityError, ConfigError, WeightsError
from nines.models.dropout import DropoutOptions
from nines.models.encoders import SkipRows, find_layers, load_encoder
from nines.models.tiny import write_tiny
from nines.models.weights import TINY_FAMILIES, resolve


def _rates(module: nn.Module) -> set[float]:
    return {child.p for child in module.modules() if isinstance(child, nn.Dropout)}


@pytest.mark.parametrize("family", [*TINY_FAMILIES, "llama"])
def test_the_encoder_computes_what_transformers_computes(family: str) -> None:
    folder = resolve(f"tiny:{family}")
    ids = torch.randint(5, 600, (3, 11))
    mask = torch.ones(3, 11, dtype=torch.long)
    mask[1, 7:] = 0
    reference = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    ours = load_encoder(folder, dropout=DropoutOptions()).eval()
    expected = reference(ids, attention_mask=mask).last_hidden_state
    found = ours(ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", TINY_FAMILIES)
def test_hidden_dropout_reaches_the_layers_and_embedding_dropout_the_embeddings(family: str) -> None:
    encoder = load_encoder(resolve(f"tiny:{family}"), dropout=DropoutOptions(hidden=0.2, embedding=0.4, attention=0.0))
    layers = find_layers(encoder)[1]
    assert _rates(encoder.embeddings) == {0.4}  # type: ignore[arg-type]
    assert 0.2 in _rates(layers)
    assert 0.4 not in _rates(layers)


def test_settings_that_are_left_empty_keep_the_models_own() -> None:
    encoder = load_encoder(resolve("tiny:bert"), dropout=DropoutOptions())
    assert _rates(encoder) == {0.1}
    stronger = load_encoder(resolve("tiny:bert"), dropout=DropoutOptions(hidden=0.3))
    assert _rates(stronger.embeddings) == {0.1}, "hidden dropout is not that of the embeddings"  # type: ignore[arg-type]


def test_attention_dropout_is_set_apart_from_hidden_dropout() -> None:
    encoder = load_encoder(resolve("tiny:bert"), dropout=DropoutOptions(attention=0.35, hidden=0.0, embedding=0.0))
    rates = [layer.attention.self.dropout.p for layer in find_layers(encoder)[1]]
    assert rates == [0.35] * 4
    assert _rates(encoder) == {0.0, 0.35}


def test_a_causal_encoder_hides_from_a_token_what_comes_after_it() -> None:
    encoder = load_encoder(resolve("tiny:llama"), dropout=DropoutOptions())
    ids = torch.randint(5, 200, (1, 9))
    changed = ids.clone()
    changed[0, 6] += 1
    before, after = encoder(ids).last_hidden_state, encoder(changed).last_hidden_state
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_only_the_lowest_layers_are_kept_and_computed(family: str) -> None:
    folder = resolve(f"tiny:{family}")
    whole = load_encoder(folder, dropout=DropoutOptions()).eval()
    low = load_encoder(folder, dropout=DropoutOptions(), layers=2).eval()
    ids = torch.randint(5, 200, (2, 9))
    assert len(find_layers(low)[1]) == 2
    expected = whole(ids, output_hidden_states=True).hidden_states[2]
    found = low(ids).last_hidden_state
    torch.testing.assert_close(found, low.norm(expected) if family == "llama" else expected)  # type: ignore[operator]


@pytest.mark.parametrize("count", [0, 5])
def test_more_layers_than_there_are_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=rf"module\.model\.layers={count}: the model has 4"):
        load_encoder(resolve("tiny:llama"), dropout=DropoutOptions(), layers=count)


def test_a_dropout_of_embeddings_is_refused_where_there_is_none() -> None:
    with pytest.raises(CapabilityError, match="llama has no embedding dropout"):
        load_encoder(resolve("tiny:llama"), dropout=DropoutOptions(embedding=0.1))


def test_weights_that_lack_a_parameter_are_refused_instead_of_left_random(tmp_path: Path) -> None:
    folder = write_tiny("bert", tmp_path)
    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.2.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lack 1 parameters .* encoder\.layer\.2\.output\.dense\.weight"):
        load_encoder(folder, dropout=DropoutOptions())


def test_a_folder_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="cannot load the encoder") as caught:
        load_encoder(tmp_path, dropout=DropoutOptions())
    assert "\n" not in str(caught.value)


def test_an_architecture_with_layers_elsewhere_is_refused() -> None:
    with pytest.raises(CapabilityError, match="keeps its layers where nines does not look"):
        find_layers(nn.Sequential(nn.Linear(2, 2)))


def test_skipped_rows_pass_the_layer_unchanged_at_the_given_rate() -> None:
    layer = nn.Linear(4, 4).train()
    layer.register_forward_hook(SkipRows(0.3), with_kwargs=True)
    rows = torch.randn(4000, 3, 4)
    out = layer(rows)
    skipped = (out == rows).flatten(1).all(dim=1)
    changed = (out != rows).flatten(1).all(dim=1)
    assert (skipped | changed).all(), "a row is skipped as a whole"
    assert skipped.float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_no_layer_is_skipped_in_eval_mode() -> None:
    options = DropoutOptions(layer_drop=0.9)
    ids = torch.randint(5, 1000, (2, 6))
    dropping = load_encoder(resolve("tiny:deberta"), dropout=options)
    plain = load_encoder(resolve("tiny:deberta"), dropout=DropoutOptions())
    assert torch.equal(dropping.eval()(ids).last_hidden_state, plain.eval()(ids).last_hidden_state)
    assert not torch.equal(dropping.train()(ids).last_hidden_state, plain.eval()(ids).last_hidden_state)
