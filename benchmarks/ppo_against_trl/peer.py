"""TRL's side, in its own environment: `python -m benchmarks.ppo_against_trl.peer <setting>` prints one line of JSON.

Imports nothing of nines. The trainer is used as it is; its models are told where a phase begins and ends.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer

from benchmarks.ppo_against_trl.phases import SAMPLING, UPDATES, PhaseClock
from benchmarks.ppo_against_trl.setting import Setting
from benchmarks.ppo_against_trl.toy_reward import harmless_or_worst


class Policy:
    """Times the sampling of a model of transformers, and knows how wide the prompts of the batch are."""

    def __init__(self, network: Any, clock: PhaseClock) -> None:
        self.prompt_width = 0
        self._generate, self._clock = network.generate, clock
        network.generate = self.generate

    def generate(self, **arguments: Any) -> Any:
        """What the model's own `generate` gives."""
        self.prompt_width = arguments["input_ids"].shape[1]
        with self._clock.phase(SAMPLING):
            return self._generate(**arguments)


class TextReward(nn.Module):
    """A reward model as the trainer wants one, a trunk and a score at each token, that reads the completion as text."""

    base_model_prefix = "trunk"

    def __init__(self, tokenizer: Any, policy: Policy) -> None:
        super().__init__()
        self.tokenizer, self.policy = tokenizer, policy
        self.trunk = self.read

    def read(self, *, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> Any:
        """The score of each completion, at each of its tokens."""
        first = self.policy.prompt_width
        rows = zip(input_ids[:, first:], attention_mask[:, first:].bool(), strict=True)
        texts = [self.tokenizer.decode(tokens[there], skip_special_tokens=True).strip() for tokens, there in rows]
        scores = torch.tensor(harmless_or_worst(texts))
        return SimpleNamespace(hidden_states=[scores[:, None, None].expand(*input_ids.shape, 1)])

    def score(self, hidden: Tensor) -> Tensor:
        """They are scores already."""
        return hidden


class Watch(TrainerCallback):
    """Ends phases and iterations."""

    def __init__(self, clock: PhaseClock) -> None:
        self.clock = clock

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Begin the first iteration."""
        self.clock.begin()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """End the updates, and the iteration with them."""
        self.clock.stop(UPDATES)
        self.clock.end_iteration()


def config(setting: Setting, folder: str) -> PPOConfig:
    """The trainer's settings. One pass a minibatch: with accumulation it would take one optimizer step an epoch."""
    return PPOConfig(
        output_dir=folder,
        use_cpu=True,
        seed=setting.seed,
        bf16=setting.precision == "bf16",
        gradient_checkpointing=False,
        per_device_train_batch_size=setting.batch,
        gradient_accumulation_steps=1,
        num_mini_batches=setting.batch // setting.minibatch,
        local_rollout_forward_batch_size=setting.batch,
        total_episodes=setting.batch * setting.iterations,
        num_ppo_epochs=setting.epochs,
        response_length=setting.response_length,
        stop_token="eos",
        temperature=setting.temperature,
        kl_coef=setting.kl,
        kl_estimator="k1",
        cliprange=setting.clip_range,
        cliprange_value=setting.value_clip_range,
        vf_coef=setting.value_coefficient,
        gamma=setting.discount,
        lam=setting.trace_decay,
        whiten_rewards=False,
        learning_rate=setting.learning_rate,
        lr_scheduler_type="constant",
        adam_epsilon=setting.adam_epsilon,
        weight_decay=0.0,
        num_sample_generations=0,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        eval_strategy="no",
    )


def run(setting: Setting) -> dict[str, Any]:
    """Train, and give the seconds of each phase, mean reward and KL of every iteration, and versions."""
    torch.set_num_threads(setting.threads)
    # The trainer makes its accelerator without naming a precision, which then comes from here.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if setting.precision == "bf16" else "no"
    tokenizer = AutoTokenizer.from_pretrained(setting.model, padding_side="left")
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(setting.pad)
    network = AutoModelForCausalLM.from_pretrained(setting.model, dtype=torch.float32)
    value = AutoModelForSequenceClassification.from_pretrained(setting.model, num_labels=1, dtype=torch.float32)
    nn.init.zeros_(value.score.weight)  # as ours starts
    clock = PhaseClock()
    policy = Policy(network, clock)
    rows = [list(tokens) for tokens in setting.tokens for _ in range(setting.completions)]
    with tempfile.TemporaryDirectory() as folder:
        trainer = PPOTrainer(
            args=config(setting, folder),
            processing_class=tokenizer,
            model=network,
            ref_model=None,
            reward_model=TextReward(tokenizer, policy),
            value_model=value,
            train_dataset=Dataset.from_dict({"input_ids": rows}),
            callbacks=[Watch(clock)],
        )
        trainer.model.register_forward_pre_hook(lambda *_: clock.start(UPDATES) if torch.is_grad_enabled() else None)
        trainer.train()
    logs = [entry for entry in trainer.state.log_history if "objective/scores" in entry]
    return {
        "seconds": clock.iterations,
        "score": [entry["objective/scores"] for entry in logs],
        "kl": [entry["objective/kl"] for entry in logs],
        "versions": {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__},
    }


if __name__ == "__main__":
    print(json.dumps(run(Setting.read(Path(sys.argv[1])))))
