"""The side of nines: `python -m benchmarks.ppo_against_trl.ours <setting>` prints one line of JSON, as the peer."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
import transformers

from benchmarks.ppo_against_trl.phases import SAMPLING, UPDATES, PhaseClock
from benchmarks.ppo_against_trl.setting import Setting
from datamodules.prompts import Prompts
from lightning_modules.policy_sampling import Sampled
from lightning_modules.ppo_generator import PPOGenerator
from lightning_modules.ppo_update import UpdateFigures
from nines.rl.rollout import Rollout, Targets

REWARD = "benchmarks.ppo_against_trl.toy_reward.harmless"


class TimedPPO(PPOGenerator):
    """PPO that tells a clock when it samples and when it updates."""

    clock: PhaseClock

    def sample(self, rows: Sequence[int]) -> list[Sampled]:
        """See `PPOGenerator.sample`."""
        with self.clock.phase(SAMPLING):
            return super().sample(rows)

    def learn(self, rollout: Rollout, targets: Targets) -> UpdateFigures:
        """See `PPOGenerator.learn`."""
        with self.clock.phase(UPDATES):
            return super().learn(rollout, targets)


class Watch(L.Callback):
    """Ends iterations, and keeps what they logged."""

    def __init__(self, clock: PhaseClock) -> None:
        self.clock = clock
        self.logged: dict[str, list[float]] = {"score": [], "kl": [], "first_ratio": []}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin the first."""
        self.clock.begin()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """End one."""
        self.clock.end_iteration()
        for name, values in self.logged.items():
            values.append(float(trainer.callback_metrics[f"train/{name}"]))


def module(setting: Setting) -> TimedPPO:
    """The generator with the settings of the peer."""
    return TimedPPO(
        model={"source": f"path:{setting.model}"},
        reward={"_target_": REWARD},
        kl={"_target_": "nines.rl.kl.FixedKLCoefficient", "value": setting.kl},
        sampling={
            "max_new_tokens": setting.response_length,
            "stop_at_sentence_end": False,
            "temperature": setting.temperature,
            "top_p": 1.0,
        },
        ppo={
            "completions_per_prompt": setting.completions,
            "epochs": setting.epochs,
            "minibatch_size": setting.minibatch,
            "forward_size": setting.minibatch,
            "keep_siblings_together": setting.siblings_together,
            "clip_range": setting.clip_range,
            "value_clip_range": setting.value_clip_range,
            "value_coefficient": setting.value_coefficient,
            "discount": setting.discount,
            "trace_decay": setting.trace_decay,
            "kl_estimator": "k1",
            "whiten_advantages": "batch",
        },
        critic=setting.critic,  # type: ignore[arg-type]  # checked there
        max_prompt_tokens=max(map(len, setting.tokens)),
        sampling_rows=setting.batch,
        optimizer={
            "lr": setting.learning_rate,
            "weight_decay": 0.0,
            "epsilon": setting.adam_epsilon,
            "warmup": 0.0,
            "schedule": "constant",
        },
        seed=setting.seed,
    )


def run(setting: Setting) -> dict[str, Any]:
    """Train, and give the seconds of each phase, mean reward and KL of every iteration, and versions."""
    torch.set_num_threads(setting.threads)
    torch.manual_seed(setting.seed)
    ppo = module(setting)
    ppo.clock = PhaseClock()
    watch = Watch(ppo.clock)
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.jsonl"
        rows = [{"prompt": text, "split": "train"} for text in setting.prompts]
        rows.append({"prompt": "It was late.", "split": "valid"})  # never used
        prompts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        trainer = L.Trainer(
            default_root_dir=folder,
            accelerator="cpu",
            precision="bf16-mixed" if setting.precision == "bf16" else "32-true",
            max_steps=setting.iterations,
            max_epochs=setting.iterations,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[watch],
        )
        trainer.fit(ppo, datamodule=Prompts(path=str(prompts), batch_size=len(setting.prompts), seed=setting.seed))
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    return {"seconds": ppo.clock.iterations, **watch.logged, "versions": versions}


if __name__ == "__main__":
    print(json.dumps(run(Setting.read(Path(sys.argv[1])))))
