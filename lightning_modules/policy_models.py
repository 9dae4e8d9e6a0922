"""The models that an optimisation of a policy needs, under every strategy: policy, reference, samplers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_modules.clipped_training import ClippedTraining
from lightning_modules.deepspeed import DeepSpeed
from lightning_modules.fsdp import FullySharded
from lightning_modules.optimizers import OptimizerOptions
from lightning_modules.policy_sampling import PolicySampler, SamplingCopy
from lightning_modules.shares import is_shared_out
from lightning_modules.text_rewards import TextReward, build_reward
from nines.building import build
from nines.clipping.base import GradientClipping
from nines.errors import CapabilityError, ConfigError
from nines.models.actor_critic import ActorCritic, TokenFigures, reference_log_probs
from nines.models.language_model import LanguageModel, LanguageModelOptions, load_language_model
from nines.policies.options import SamplingOptions
from nines.rl.kl import KLCoefficient
from nines.rl.options import PPOOptions
from nines.rl.rewards import ScoreScaling
from nines.rl.rollout import Completions

FIXED_KL = {"_target_": "nines.rl.kl.FixedKLCoefficient"}
NO_CLIPPING = {"_target_": "nines.clipping.none.NoClipping"}
Critic = Literal["shared", "separate"]


class PolicyModels(ClippedTraining):
    """A policy, its value head, its frozen reference, and the settings of their training.

    Every argument is plain data, so that a checkpoint can be loaded without any configuration. The rewards are made
    when a fit begins, so that loading a policy needs none of the models that judged it.

    Args:
        model: Fields of `nines.models.language_model.LanguageModelOptions`: the policy; as it is loaded it is the
            reference, too.
        reward: Specification with `_target_` of a `lightning_modules.text_rewards.TextReward`.
        judges: By name, specifications of what else judges held-out completions, and is never optimised.
        kl: Specification of a KL coefficient of `nines.rl.kl`.
        sampling: Fields of `nines.policies.options.SamplingOptions` for what is learned from. Log-probabilities are of
            the whole vocabulary at its temperature, so filters (top_p below 1) make it slightly off-policy.
        evaluation: The same for held-out completions: how the policy will be used; None for as in training.
        ppo: Fields of `nines.rl.options.PPOOptions`.
        critic: Whether the value head reads the policy's hidden states, or those of a language model of its own.
        max_prompt_tokens: Of a longer prompt the end is kept.
        sampling_rows: Completions in progress at once while sampling.
        clipping: Specification of a `nines.clipping.base.GradientClipping`.
        optimizer: Fields of `lightning_modules.optimizers.OptimizerOptions`; its schedule goes by iterations.
        seed: Of sampling and of the minibatches' order.
        deferred: Build the models in `configure_model` (ZeRO-3). No part of a checkpoint.

    Raises:
        ConfigError: Arguments that contradict each other.
    """

    model: ActorCritic
    base: LanguageModel | None

    def __init__(
        self,
        *,
        model: Mapping[str, Any],
        reward: Mapping[str, Any] | None = None,
        judges: Mapping[str, Any] | None = None,
        kl: Mapping[str, Any] = FIXED_KL,
        sampling: Mapping[str, Any] | None = None,
        evaluation: Mapping[str, Any] | None = None,
        ppo: Mapping[str, Any] | None = None,
        critic: Critic = "shared",
        max_prompt_tokens: int = 160,
        sampling_rows: int = 64,
        clipping: Mapping[str, Any] = NO_CLIPPING,
        optimizer: Mapping[str, Any] | None = None,
        seed: int = 0,
        deferred: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["deferred"])
        self.automatic_optimization = False
        self.options = PPOOptions(**(ppo or {}))
        # A ratio of probabilities under two draws of dropout would say nothing about the policy.
        self.model_options = LanguageModelOptions(**{"dropout": None, **model})
        if self.model_options.dropout or self.model_options.lora_dropout:
            raise ConfigError("module.model: dropout and lora_dropout must be 0, else no ratio of probabilities is 1")
        if critic not in {"shared", "separate"}:
            raise ConfigError(f"module.critic must be shared or separate, got {critic!r}")
        self.critic = critic
        self.sampling = SamplingOptions(**{"temperature": 1.0, "top_p": 1.0, **(sampling or {})})
        self.evaluation = self.sampling if evaluation is None else SamplingOptions(**evaluation)
        self.max_prompt_tokens, self.sampling_rows, self.seed = max_prompt_tokens, sampling_rows, seed
        self.optimizer_options = OptimizerOptions(**(optimizer or {}))
        self.clipping = build(clipping, kind=GradientClipping)
        self.kl: KLCoefficient = build(kl, kind=object)
        self.scaling = ScoreScaling(scale=self.options.scale_scores, clip=self.options.clip_scores)
        self.iteration = 0
        self.base = None  # no class attribute: it would hide the module that is set later
        self.reward: TextReward
        self.judges: dict[str, TextReward] = {}
        self._stepped = False
        self._copy: SamplingCopy | None = None
        self._samplers: dict[SamplingOptions, PolicySampler] = {}
        self._random_state = torch.get_rng_state()
        if not deferred:
            self.model = self._build()

    # ---- models

    def setup(self, stage: str) -> None:
        """Make the rewards, and check what the strategy can do.

        Raises:
            ConfigError: There is no reward.
            CapabilityError: The strategy shares parameters in a way that sampling cannot gather.
        """
        if isinstance(self.trainer.strategy, FullySharded):
            raise CapabilityError("a policy cannot be sampled under FSDP2; use trainer=ddp or trainer=deepspeed_zero3")
        if "16-mixed" in str(self.trainer.precision) and "bf16" not in str(self.trainer.precision):
            raise CapabilityError("PPO takes several steps a batch, which fp16's loss scaling cannot; use bf16-mixed")
        self.check_clipping()
        if self.hparams.get("reward") is None:
            raise ConfigError("module.reward is not set: there is nothing to learn from; choose reward=…")
        self.reward = build_reward(self.hparams["reward"])
        self.judges = {name: build_reward(spec) for name, spec in (self.hparams.get("judges") or {}).items()}

    def configure_model(self) -> None:
        """Build the models, if that was deferred, and keep the reference before any training or loading."""
        if "model" not in self._modules:
            self.model = self._build()
        if self._trainer is None or self._keeps_reference:
            return
        if isinstance(self.trainer.strategy, DeepSpeed):
            # The engine moves and converts parameters: a kept copy would not fit in their places.
            base = load_language_model(self.model_options)
            self.base = base.requires_grad_(requires_grad=False)
        else:
            self.model.policy.keep_reference()
        self._reference_kept = True

    _reference_kept = False

    @property
    def _keeps_reference(self) -> bool:
        return self.model_options.train == "lora" or self._reference_kept

    def _build(self) -> ActorCritic:
        """The same weights whenever it is called, without a trace in the random numbers that follow."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random_state)
            critic = load_language_model(self.model_options) if self.critic == "separate" else None
            model = ActorCritic(load_language_model(self.model_options), critic=critic)
        if not self.options.needs_values:
            # A parameter that gets no gradient would stop data-parallel training.
            model.value_head.requires_grad_(requires_grad=False)
            if critic is not None:
                critic.requires_grad_(requires_grad=False)
        # transformers checkpoints gradients only in training mode; without dropout the modes are otherwise alike.
        return model.train(self.model_options.gradient_checkpointing)

    def figures_of(self, completions: Completions, *, entropy: bool, frozen: Tensor | None = None) -> TokenFigures:
        """What the policy of now and its value head say of sampled tokens."""
        figures: TokenFigures = self.model(
            completions,
            temperature=self.sampling.temperature,
            entropy=entropy,
            values=self.options.needs_values,
            frozen=frozen,
        )
        return figures

    def reference_log_probs(self, completions: Completions, *, frozen: Tensor | None = None) -> Tensor:
        """Log-probabilities of the sampled tokens under the frozen reference, (completions, completion width)."""
        temperature = self.sampling.temperature
        if self.base is not None:
            return reference_log_probs(self.base, completions, temperature=temperature)
        return self.model.reference_log_probs(completions, temperature=temperature, frozen=frozen)

    def frozen_states(self, completions: Completions) -> Tensor | None:
        """What the layers say that are never trained; None where nothing is to be saved, or ranks share the layers."""
        return None if is_shared_out(self.model) else self.model.frozen_states(completions)

    # ---- sampling

    def sampler(self, options: SamplingOptions | None = None) -> PolicySampler:
        """Draws from the policy with the weights of now; call it on every rank."""
        policy, mixed = self.model.policy, "bf16-mixed" in str(self.trainer.precision)
        if self._copy is None and (
            is_shared_out(policy) or (mixed and next(policy.parameters()).dtype == torch.float32)
        ):
            self._copy = SamplingCopy(policy, dtype=torch.bfloat16 if mixed else torch.float32)
        whole = policy if self._copy is None else self._copy.refresh()
        options = options or self.sampling
        if options not in self._samplers:
            self._samplers[options] = self._sampler(whole, options)
        return self._samplers[options]

    def base_sampler(self, options: SamplingOptions) -> tuple[PolicySampler, Any]:
        """Draws from the reference, within the context that comes with it."""
        sampler = self.sampler(options)
        if self.model_options.train == "lora":
            return sampler, (self.model.policy if self._copy is None else self._copy.model).reference()
        if self._copy is None and self.base is None:
            return sampler, self.model.policy.reference()
        with torch.random.fork_rng(devices=[]):
            base = load_language_model(self.model_options)
        like = next((self._copy.model if self._copy is not None else self.model).parameters())
        return self._sampler(base.to(like), options), nullcontext()

    def _sampler(self, model: LanguageModel, options: SamplingOptions) -> PolicySampler:
        return PolicySampler(model, options, max_prompt_tokens=self.max_prompt_tokens, rows=self.sampling_rows)

    def prompts(self, split: str) -> list[str]:
        """The texts of the data module's prompts."""
        trainer: Any = self.trainer
        texts: list[str] = trainer.datamodule.texts(split)
        return texts
