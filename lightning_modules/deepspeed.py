"""DeepSpeed for Lightning: the same figures as DDP, on CPUs too, so that tests run the code that GPUs run.

Lightning's own strategy goes wrong silently in four places, each cured here and pinned by a test against DDP:

1. With accumulation it divides the loss by the number of batches twice, and it steps by a count of batches of its own,
   which takes no step at an epoch's end when the last window is short.
2. Under manual optimisation several backward passes before one step leave wrong gradients.
3. Under ZeRO-3 a model of transformers that is built in `configure_model` skips its initialisation.
4. Every floating-point tensor of a batch is rounded to the precision of the weights, targets and weights of rows too.

deepspeed is imported when a strategy is made, not before.
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.plugins.precision import DeepSpeedPrecision, Precision
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.deepspeed_checkpoints import DeepSpeedCheckpoints
from lightning_modules.deepspeed_inputs import PartitionedLoading, WholeInputs
from nines.clipping.base import ClipResult
from nines.errors import CapabilityError, ConfigError

STAGES = (0, 1, 2, 3)


class DeepSpeed(DeepSpeedCheckpoints):
    """ZeRO (Rajbhandari et al. 2020): ranks share the optimizer's state, the gradients, and the parameters.

    Args:
        stage: What is shared: 0 nothing (as DDP), 1 the optimizer's state, 2 the gradients too, 3 the parameters too.
        offload_optimizer: Keep the optimizer's state, and step, in the memory of the CPU.
        offload_parameters: Keep the parameters' shards in the memory of the CPU; stage 3 only.
        overlap_comm: Reduce gradients while the backward pass goes on; no effect on a CPU.
        reduce_bucket_size: Gradient elements reduced at once.
        allgather_bucket_size: Parameter elements gathered at once, stages 1 and 2.
        **options: Anything else that `lightning.pytorch.strategies.DeepSpeedStrategy` takes, but `config`.

    Raises:
        CapabilityError: deepspeed is not installed.
        ConfigError: Options that contradict each other.
    """

    def __init__(
        self,
        *,
        stage: int = 2,
        offload_optimizer: bool = False,
        offload_parameters: bool = False,
        overlap_comm: bool = True,
        reduce_bucket_size: int = 200_000_000,
        allgather_bucket_size: int = 200_000_000,
        **options: Any,
    ) -> None:
        if stage not in STAGES:
            raise ConfigError(f"trainer.strategy: stage must be 0, 1, 2 or 3, got {stage}")
        if offload_parameters and stage != 3:
            raise ConfigError(f"trainer.strategy: offload_parameters needs stage=3, which shares them; got {stage}")
        if offload_optimizer and stage == 0:
            raise ConfigError("trainer.strategy: offload_optimizer needs stage=1, 2 or 3")
        if "config" in options:
            raise ConfigError("trainer.strategy: config would replace every other option; give the options themselves")
        try:
            super().__init__(
                stage=stage,
                offload_optimizer=offload_optimizer,
                offload_parameters=offload_parameters,
                overlap_comm=overlap_comm,
                reduce_bucket_size=reduce_bucket_size,
                allgather_bucket_size=allgather_bucket_size,
                **options,
            )
        except ImportError as error:
            raise CapabilityError(
                "this trainer needs deepspeed, which is not installed; run: pip install 'nines-lab[deepspeed]'"
            ) from error
        self.stage = stage
        # torch's fused AdamW steps on a CPU as well; DeepSpeed's own wants a compiler on every node.
        self.settings["zero_force_ds_cpu_optimizer"] = False

    @property
    def settings(self) -> dict[str, Any]:
        """DeepSpeed's configuration, which the engine reads when it is made."""
        assert isinstance(self.config, dict)
        return self.config

    @property
    def on_cpu(self) -> bool:
        """Whether the ranks are processes on CPUs, which talk by gloo."""
        return isinstance(self.accelerator, CPUAccelerator)

    # ---- ranks

    @property
    def root_device(self) -> torch.device:
        """The device of this rank, with an index, which DeepSpeed wants of a CPU as well."""
        if self.on_cpu:
            return torch.device("cpu", self.local_rank)
        return super().root_device

    def setup_environment(self) -> None:
        """Join the other ranks."""
        if not self.on_cpu:
            super().setup_environment()
            return
        # Lightning's own method refuses a CPU, so this does what that one does elsewhere.
        assert self.accelerator is not None
        self.accelerator.setup_device(self.root_device)
        self.setup_distributed()

    def setup_distributed(self) -> None:
        """Start torch.distributed by way of DeepSpeed."""
        if not self.on_cpu:
            super().setup_distributed()
            return
        import deepspeed.ops

        os.environ["DS_ACCELERATOR"] = "cpu"
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # it would compile C++, and gloo does
        self.settings["zero_optimization"]["overlap_comm"] = False
        self.set_world_ranks()
        self._init_deepspeed_distributed()

    # ---- precision

    @property
    def precision_plugin(self) -> Precision:
        """What Lightning asks to convert inputs and to step."""
        return super().precision_plugin

    @precision_plugin.setter
    def precision_plugin(self, plugin: Precision | None) -> None:
        if type(plugin) is DeepSpeedPrecision:
            precision: Any = plugin.precision  # Lightning declares more than it accepts
            plugin = WholeInputs(precision)
        self._precision_plugin = plugin

    # ---- building

    @contextmanager
    def model_sharded_context(self) -> Generator[None, None, None]:
        """Within it transformers' `from_pretrained` and `from_config` share parameters out while they load, stage 3.

        Parameters of other modules are whole until `setup`. Lightning's own context would empty them under the hands
        of their initialisation.
        """
        self._init_config_if_needed()
        if self.stage != 3:
            yield
            return
        from transformers.integrations.deepspeed import set_hf_deepspeed_config

        announce: Any = set_hf_deepspeed_config  # untyped in transformers
        partitioning = PartitionedLoading(self.settings)
        announce(partitioning)  # transformers keeps a weak reference, so it ends with this context
        yield
        del partitioning

    def setup(self, trainer: Any) -> None:
        """Share out what is still whole, then make the engine."""
        self._init_config_if_needed()
        if self.stage == 0 and self.precision_plugin.precision != "32-true":
            raise ConfigError(
                "DeepSpeed's stage 0 sums gradients up in the precision of the weights; use stage=1, 2 or 3, "
                "trainer.precision=32-true, or trainer=ddp"
            )
        module = self.lightning_module
        assert module is not None
        if self.stage == 3:
            self._share_out(module)
        if trainer.state.fn == TrainerFn.FITTING and not module.automatic_optimization:
            # The caller of manual_backward does not say which pass is the last one, so the step ends the window.
            self.settings["managed_gradient_accumulation"] = False
            if self.stage in {1, 3}:
                self.settings["zero_optimization"]["overlap_comm"] = False
        super().setup(trainer)

    def _share_out(self, module: nn.Module) -> None:
        """Split what is still whole, before the engine would move all of it to this rank's device."""
        import deepspeed

        for precision, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
            if self.settings.get(precision, {}).get("enabled"):
                for parameter in module.parameters():
                    if not hasattr(parameter, "ds_id"):  # those that transformers split are of this type
                        parameter.data = parameter.data.to(dtype)
        deepspeed.zero.Init(module=module, config_dict_or_path=self.settings)

    # ---- steps

    @property
    def handles_gradient_accumulation(self) -> bool:
        """False: Lightning asks for a step where one is due, as under DDP, and the engine is told before."""
        return False

    @contextmanager
    def block_backward_sync(self) -> Generator[None, None, None]:
        """Block nothing: `backward` tells the engine when to reduce, and its `no_sync` refuses stages 2 and 3."""
        yield

    def backward(self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any) -> Tensor:
        """Backward through the engine, which learns whether a step follows."""
        module = self.lightning_module
        assert module is not None
        engine: Any = self.deepspeed_engine
        if module.automatic_optimization:
            engine.set_gradient_accumulation_boundary(self._step_follows())
        # Lightning has divided the loss already.
        result = super().backward(closure_loss, optimizer, *args, scale_wrt_gas=False, **kwargs)
        if not module.automatic_optimization and hasattr(engine.optimizer, "clear_backward_seen_flag"):
            # ZeRO counts a window's passes at the engine's forward; a training step may go backward more than once.
            engine.optimizer.clear_backward_seen_flag()
        return result

    def _step_follows(self) -> bool:
        trainer = self.lightning_module.trainer  # type: ignore[union-attr]
        progress = trainer.fit_loop.epoch_loop.batch_progress
        in_window = progress.current.ready % trainer.accumulate_grad_batches
        return in_window == 0 or progress.is_last_batch or progress.current.ready >= trainer.num_training_batches

    # ---- gradients

    def clip_by_norm(self, limit: float) -> None:
        """Let the engine shorten gradients to the Euclidean norm `limit` from its next start on; 0 for never."""
        self.settings["gradient_clipping"] = limit

    def last_clip(self) -> ClipResult | None:
        """What the engine saw and did at its last step; None where it computed no norm."""
        engine: Any = self.deepspeed_engine
        norm = engine.get_global_grad_norm()
        if norm is None:
            return None
        limit = self.settings["gradient_clipping"] or None
        found = float(norm)
        # Where gradients were not finite the engine drops the step, and may go on telling the norm of the one before.
        if not math.isfinite(found) or getattr(engine.optimizer, "overflow", False):
            return ClipResult(norm=math.inf, clipped_share=1.0, threshold=limit)
        return ClipResult(norm=found, clipped_share=float(limit is not None and found > limit), threshold=limit)

    def gradient_of(self, parameter: nn.Parameter) -> Tensor | None:
        """The whole gradient of a parameter between backward and step, averaged over ranks; call it on every rank."""
        from deepspeed.utils import safe_get_full_grad

        if not parameter.requires_grad:
            return None
        if self.stage == 0:
            return parameter.grad
        gradient: Tensor | None = safe_get_full_grad(parameter)
        return gradient
