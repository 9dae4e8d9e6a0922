from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from datamodules.fiction import Fiction
from lightning_modules.checkpoint_io import AtomicCheckpointIO, read_checkpoint
from lightning_modules.language_model import LanguageModelTraining
from nines.errors import CheckpointError, ConfigError
from nines.models.language_model import LanguageModelOptions, load_language_model


def tiny(train: str = "all", *, seed: int = 0, **options: Any) -> LanguageModelTraining:
    torch.manual_seed(seed)
    model = {"source": "tiny:llama", "train": train, "upper_layers": 2, "lora_rank": 4}
    return LanguageModelTraining(
        model=model, **{"optimizer": {"lr": 1e-2, "warmup": 0.0, "schedule": "constant"}, **options}
    )


def data(**options: Any) -> Fiction:
    given = {"max_tokens": 256, "sources": ["written", "plain"], "limit_texts": 48, "batch_size": 8, "drop_last": True}
    return Fiction(tokenizer="tiny:llama", **{**given, "bucket_steps": 1, **options})


def trainer(folder: Path, **options: Any) -> L.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return L.Trainer(
        default_root_dir=str(folder),
        accelerator="cpu",
        enable_checkpointing=False,
        plugins=[AtomicCheckpointIO()],
        num_sanity_val_steps=0,
        **{**quiet, "max_epochs": 1, **options},
    )


def trained(folder: Path, module: LanguageModelTraining, texts: Fiction, **options: Any) -> dict[str, torch.Tensor]:
    trainer(folder, limit_val_batches=0, **options).fit(module, datamodule=texts)
    return {name: value.detach().clone() for name, value in module.model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize("packed_tokens", [None, 512])
def test_steps_do_not_depend_on_how_texts_are_accumulated_or_packed(tmp_path: Path, packed_tokens: int | None) -> None:
    """Texts of 30 to 200 tokens: means over batches would weigh short ones more."""
    options: dict[str, Any] = {"optimizer": {"lr": 0.1, "epsilon": 1.0, "warmup": 0.0, "schedule": "constant"}}
    whole = trained(tmp_path, tiny(**options), data(batch_size=16, limit_texts=16))
    parts = trained(
        tmp_path,
        tiny(**options),
        data(batch_size=4, limit_texts=16, packed_tokens=packed_tokens),
        accumulate_grad_batches=4,
    )
    start = dict(tiny().model.named_parameters())
    assert any(not torch.allclose(whole[name], start[name], atol=1e-4) for name in whole)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=2e-6, rtol=1e-4, msg=name)


def test_perplexity_by_source_is_that_of_its_tokens(tmp_path: Path) -> None:
    module, texts = tiny(), data(evaluation_batch_size=5, packed_tokens=300)
    found = trainer(tmp_path).validate(module, datamodule=texts, verbose=False)[0]
    assert set(found) == {"valid/loss", "valid/perplexity", "valid/perplexity/written", "valid/perplexity/plain"}
    losses: dict[str, list[float]] = {"written": [], "plain": []}
    encoded = texts.texts("valid")
    module.eval()
    for row in range(len(encoded)):
        ids = torch.from_numpy(encoded.tokens[encoded.offsets[row] : encoded.offsets[row + 1]]).long()[None]
        with torch.no_grad():
            scores = torch.log_softmax(module.model(ids, torch.ones_like(ids, dtype=torch.bool))[0], dim=1)
        begin = int(encoded.loss_start[row])
        own = -scores[begin - 1 : -1].gather(1, ids[0, begin:, None]).squeeze(1)
        losses[encoded.sources[encoded.source[row]]] += own.tolist()
    for source, values in losses.items():
        assert found[f"valid/perplexity/{source}"] == pytest.approx(math.exp(sum(values) / len(values)), rel=1e-4)
    every = losses["written"] + losses["plain"]
    assert found["valid/loss"] == pytest.approx(sum(every) / len(every), rel=1e-5)


@pytest.mark.parametrize("train", ["lora", "upper"])
def test_a_checkpoint_holds_what_was_trained_and_gives_the_whole_model_back(tmp_path: Path, train: str) -> None:
    module, texts = tiny(train), data()
    fitting = trainer(tmp_path, limit_val_batches=0)
    fitting.fit(module, datamodule=texts)
    fitting.save_checkpoint(tmp_path / "some.ckpt")
    held = set(read_checkpoint(tmp_path / "some.ckpt")["state_dict"])
    assert held == {f"model.{name}" for name, value in module.model.named_parameters() if value.requires_grad}
    again = LanguageModelTraining.load_from_checkpoint(tmp_path / "some.ckpt")
    own = module.state_dict()
    assert own.keys() == again.state_dict().keys()
    assert all(torch.equal(value, own[name]) for name, value in again.state_dict().items())
    with pytest.raises(CheckpointError, match="another architecture"):
        LanguageModelTraining.load_from_checkpoint(
            tmp_path / "some.ckpt", model={"source": "tiny:llama", "train": train, "lora_rank": 8, "upper_layers": 3}
        )


def test_an_exported_folder_continues_as_the_trained_module_does(tmp_path: Path) -> None:
    module = tiny("lora")
    trained(tmp_path, module, data())
    module.eval()
    module.export(tmp_path / "model")
    model = load_language_model(LanguageModelOptions(source=f"path:{tmp_path / 'model'}"))
    tokens, mask = model.encode_prompts(["The dog ran."], max_tokens=8)
    torch.testing.assert_close(model(tokens, mask), module.model(tokens, mask), atol=1e-5, rtol=1e-4)
    untrained = load_language_model(LanguageModelOptions(source="tiny:llama"))
    assert not torch.allclose(model(tokens, mask), untrained(tokens, mask), atol=1e-2)


def test_dropout_acts_while_training(tmp_path: Path) -> None:
    found = []
    for dropout in (0.0, 0.5):
        torch.manual_seed(0)
        model = {"source": "tiny:llama", "train": "lora", "lora_dropout": dropout}
        module = LanguageModelTraining(model=model, optimizer={"lr": 1e-2, "warmup": 0.0})
        found.append(trained(tmp_path, module, data(limit_texts=16), max_steps=2))
    assert any(not torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_clipping_is_kept_for_the_callbacks(tmp_path: Path) -> None:
    module = tiny(clipping={"_target_": "nines.clipping.norm.NormClipping", "max_norm": 1e-3})
    trained(tmp_path, module, data(), max_steps=1)
    assert module.last_clip is not None
    assert module.last_clip.norm > 1e-3
    assert module.last_clip.clipped_share > 0


def test_texts_longer_than_the_model_reads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reads at most 512 tokens"):
        trainer(tmp_path).fit(tiny(), datamodule=data(max_tokens=600))
