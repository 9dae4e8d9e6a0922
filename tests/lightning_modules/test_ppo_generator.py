import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

from datamodules.prompts import Prompts
from lightning_modules.ppo_generator import PPOGenerator
from nines.errors import ConfigError
from tests.lightning_modules.small_policy import Watch, tiny_policy, tiny_prompts, tiny_trainer

SAMPLE = "tests.lightning_modules.test_ppo_generator.begins_low"


def begins_low(prompts: Sequence[str], completions: Sequence[str]) -> Any:
    """1 for a completion that begins with one of the letters a to g."""
    return np.array([float(text[:1].lower() in "abcdefg") for text in completions])


def fitted(
    folder: Path, *, epochs: int = 1, data: Any = None, trainer: Mapping[str, Any] = {}, **arguments: Any
) -> Any:
    watch = Watch()
    module = tiny_policy(**arguments)
    runs = tiny_trainer(folder, callbacks=[watch], max_epochs=epochs, **trainer)
    runs.fit(module, datamodule=data or tiny_prompts(limit_prompts=16))
    return module, watch.iterations, runs


def parameters(module: PPOGenerator) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.model.named_parameters()}


@pytest.mark.parametrize(
    ("arguments", "precision"),
    [
        ({"model": {"train": "all"}}, "32-true"),
        ({"model": {"train": "lora"}, "critic": "separate"}, "32-true"),
        ({"model": {"train": "upper", "upper_layers": 2}}, "bf16-mixed"),
        ({"model": {"train": "upper", "upper_layers": 2}, "ppo": {"keep_siblings_together": True}}, "32-true"),
        ({"model": {"train": "all", "gradient_checkpointing": True}}, "32-true"),
    ],
)
def test_before_the_first_update_the_ratio_is_exactly_one_and_the_policy_its_reference(
    tmp_path: Path, arguments: dict[str, Any], precision: str
) -> None:
    before = parameters(tiny_policy(**arguments))
    module, seen, trainer = fitted(tmp_path, trainer={"precision": precision}, **arguments)
    assert [one["train/first_ratio"] for one in seen] == [1.0, 1.0]
    assert seen[0]["train/kl"] == 0.0
    assert seen[1]["train/kl_k3"] > 0.0
    assert trainer.global_step == len(seen) == 2
    moved = {name for name, value in parameters(module).items() if not torch.equal(value, before[name])}
    trained = {name for name, value in module.model.named_parameters() if value.requires_grad}
    assert moved <= trained
    assert any("value_head" in name for name in moved)
    assert any(name.startswith("policy.") for name in moved)


def test_the_size_of_a_forward_pass_changes_nothing(tmp_path: Path) -> None:
    whole, first, _ = fitted(tmp_path, ppo={"forward_size": 64})
    parts, second, _ = fitted(tmp_path, ppo={"forward_size": 3})
    assert first[0]["train/policy_loss"] == pytest.approx(second[0]["train/policy_loss"], abs=1e-6)
    for name, value in parameters(whole).items():
        torch.testing.assert_close(parameters(parts)[name], value, atol=2e-5, rtol=1e-3)


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "kl": {"_target_": "nines.rl.kl.AdaptiveKLCoefficient", "target": 0.01, "horizon": 50.0},
        "ppo": {"scale_scores": True, "whiten_advantages": "minibatch"},
        "optimizer": {"lr": 1e-3, "warmup": 0.0, "schedule": "linear"},
    }

    class SaveAt(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *arguments: Any) -> None:
            if trainer.global_step == 3:
                trainer.save_checkpoint(tmp_path / "third.ckpt")

    whole = tiny_policy(**options)
    watch, data = Watch(), tiny_prompts(limit_prompts=32)
    tiny_trainer(tmp_path, callbacks=[watch, SaveAt()], max_epochs=2).fit(whole, datamodule=data)
    torch.manual_seed(99)  # whatever was drawn in between
    resumed, again = tiny_policy(**options), Watch()
    tiny_trainer(tmp_path, callbacks=[again], max_epochs=2).fit(
        resumed, datamodule=tiny_prompts(limit_prompts=32), ckpt_path=str(tmp_path / "third.ckpt")
    )
    assert again.iterations == watch.iterations[3:]
    assert resumed.kl.value == whole.kl.value != 0.05
    expected, found = parameters(whole), parameters(resumed)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    loaded = PPOGenerator.load_from_checkpoint(tmp_path / "third.ckpt")
    assert loaded.iteration == 3
    assert loaded.scaling.count == 3 * 16


def test_an_early_stop_spends_no_update_on_a_policy_that_has_moved_too_far(tmp_path: Path) -> None:
    _, free, _ = fitted(tmp_path, ppo={"epochs": 3})
    _, held, _ = fitted(tmp_path, ppo={"epochs": 3, "stop_kl": 1e-9})
    assert [one["train/updates"] for one in free] == [6.0, 6.0]
    assert [one["train/updates"] for one in held] == [2.0, 2.0]


def one_letter(method: dict[str, Any], *, beta: float, iterations: int, folder: Path, seed: int = 0) -> PPOGenerator:
    """A bandit: one prompt, one token, a reward for some of them."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text(
        '{"prompt": "The door was open.", "split": "train"}\n'
        '{"prompt": "The road was long.", "split": "valid"}\n{"prompt": "It was late.", "split": "valid"}\n'
    )
    module = tiny_policy(
        seed=seed,
        reward={"_target_": SAMPLE},
        sampling={"max_new_tokens": 1, "stop_at_sentence_end": False, "temperature": 1.0, "top_p": 1.0},
        kl={"_target_": "nines.rl.kl.FixedKLCoefficient", "value": beta},
        optimizer={"lr": 2e-3, "warmup": 0.0, "schedule": "linear", "weight_decay": 0.0, "head_lr_factor": 5.0},
        ppo={"completions_per_prompt": 128, "minibatch_size": 128, "forward_size": 128, "epochs": 2, **method},
    )
    data = Prompts(path=str(prompts), batch_size=1)
    tiny_trainer(folder, max_epochs=iterations, limit_val_batches=0).fit(module, datamodule=data)
    return module


def chance_of_low(module: PPOGenerator) -> tuple[float, float]:
    """Under policy and reference, the exact probability of a first token that is rewarded."""
    model = module.model.policy
    tokens, mask = model.encode_prompts(["The door was open."], max_tokens=24)
    texts = [model.decode([token]).strip() for token in range(model.vocabulary)]
    good = torch.tensor([bool(text) and text[0].lower() in "abcdefg" for text in texts])
    with torch.no_grad():
        policy = model(tokens, mask)[0, -1].softmax(-1)[good].sum()
        with model.reference():
            base = model(tokens, mask)[0, -1].softmax(-1)[good].sum()
    return float(policy), float(base)


@pytest.mark.slow
@pytest.mark.parametrize("method", [{"advantage": "gae"}, {"advantage": "leave_one_out"}])
def test_a_bandit_is_led_to_its_known_optimum(tmp_path: Path, method: dict[str, Any]) -> None:
    """Reward minus KL is largest at π ∝ π_ref exp(r / β), whose chance of a reward is known."""
    module = one_letter({**method, "whiten_advantages": "none"}, beta=0.5, iterations=120, folder=tmp_path)
    policy, base = chance_of_low(module)
    optimum = base * math.exp(2) / (base * math.exp(2) + 1 - base)
    assert base < 0.6 < optimum
    assert policy == pytest.approx(optimum, abs=0.05)


def test_rejection_sampling_with_nothing_good_enough_changes_nothing(tmp_path: Path) -> None:
    options = {"method": "rejection_sampling", "accept_above": 2.0}
    before = parameters(tiny_policy(ppo=options))
    module, seen, _ = fitted(tmp_path, ppo=options)
    assert seen[0]["train/updates"] == 0.0
    assert all(torch.equal(value, before[name]) for name, value in parameters(module).items())


def test_held_out_prompts_are_judged_beside_the_reference(tmp_path: Path) -> None:
    module, _, trainer = fitted(tmp_path, epochs=2)
    figures = trainer.callback_metrics
    rows = module.held_out("valid")
    assert len(rows) == 6
    assert float(figures["valid/score_gain"]) == pytest.approx(
        np.mean([one.judged["score"] - one.base_judged["score"] for one in rows]), abs=1e-6
    )
    assert figures["valid/score_gain_lower"] < figures["valid/score_gain"] < figures["valid/score_gain_upper"]
    again, _, _ = fitted(tmp_path / "other", epochs=1, ppo={"epochs": 1})
    assert [one.base for one in again.held_out("valid")] == [one.base for one in rows]


def test_the_policy_is_written_as_a_folder_that_loads(tmp_path: Path) -> None:
    from nines.models.language_model import LanguageModelOptions, load_language_model

    module, _, _ = fitted(tmp_path, model={"train": "lora"})
    module.export(tmp_path / "model")
    again = load_language_model(LanguageModelOptions(source=f"path:{tmp_path / 'model'}"))
    tokens, mask = again.encode_prompts(["The door was open."], max_tokens=24)
    torch.testing.assert_close(again(tokens, mask), module.model.policy(tokens, mask), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"model": {"train": "lora", "lora_dropout": 0.1}}, "dropout"),
        ({"critic": "none"}, "shared or separate"),
        ({"ppo": {"clip_range": -1.0}}, "clip_range"),
    ],
)
def test_settings_that_contradict_the_method_are_refused(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        tiny_policy(**arguments)


def test_without_a_reward_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reward"):
        fitted(tmp_path, reward=None)
