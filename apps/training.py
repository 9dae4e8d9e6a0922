"""One run from its composed configuration to its run folder: fit, take the best checkpoint, validate, test.

The configuration ends here: everything below takes plain arguments.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from apps.run_record import add_metrics, close_run, describe_run, former_texts, let_first_rank_close, put_back
from apps.validation import validate
from callbacks.checkpoints import Checkpoints
from callbacks.hyperparameter_table import DEFAULT_METRICS, HyperparameterTable
from callbacks.interruption import Interrupted, Interruption
from callbacks.ownership import Ownership
from callbacks.progress import Progress
from callbacks.trial_reporting import Pruned, Reporter, TrialReporting
from lightning_modules.checkpoint_io import AtomicCheckpointIO
from lightning_modules.cluster import check_ranks, cluster_environment
from lightning_modules.deepspeed import DeepSpeed
from nines import stop_requests
from nines.errors import CheckpointError
from nines.models.precision import default_precision
from nines.run_folder import RunFolder
from nines.run_owner import Superseded


def train(
    config: DictConfig,
    *,
    folder: RunFolder,
    overrides: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> dict[str, float]:
    """Train, or go on with what `folder` already holds, and return the final metrics.

    Args:
        config: The composed root configuration `train`.
        folder: Where everything of the run goes.
        overrides: What the user gave, kept in the folder for `resume=`.
        reporter: The sweep that this run is a trial of, None without one.

    Returns:
        Metric name to value, as `metrics.json` holds them.

    Raises:
        ConfigError: The configuration does not fit the classes that it names.
        CheckpointError: What `folder` holds is of another architecture; its configuration stays as it was.
        Interrupted: The run was asked to stop, and can be resumed.
        Pruned: The sweep stopped the trial.
        Superseded: Other processes took the folder over; nothing more was written into it.
        StorageError: The disk refused a write; the last whole checkpoint is kept.
    """
    with stop_requests.listening():
        try:
            return _train(config, folder=folder, overrides=overrides, reporter=reporter)
        except Superseded:
            raise  # what the folder says is the new owner's
        except BaseException:
            if getattr(rank_zero_only, "rank", 0) != 0:
                let_first_rank_close(folder)
            raise


def _train(
    config: DictConfig, *, folder: RunFolder, overrides: Sequence[str], reporter: Reporter | None
) -> dict[str, float]:
    _quiet_known_noise()
    resolve_precision(config)
    validate(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    before = former_texts(folder)
    describe_run(config, folder, overrides)
    try:
        metrics = _run(config, folder=folder, reporter=reporter)
    except Superseded:
        raise
    except Pruned as pruned:
        close_run(folder, "pruned", str(pruned))
        raise
    except (Interrupted, KeyboardInterrupt) as stop:
        close_run(folder, "interrupted", str(stop) or "stopped at once")
        raise
    except SystemExit as stop:  # how Lightning leaves after a KeyboardInterrupt
        close_run(folder, "interrupted", "stopped at once")
        raise Interrupted("stopped at once; the same command resumes from the last checkpoint") from stop
    except CheckpointError as error:
        close_run(folder, "failed", str(error))
        put_back(before)  # the folder goes on saying what its checkpoint was trained with
        raise
    except BaseException as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else ""
        close_run(folder, "failed", f"{type(error).__name__}: {first_line}")
        raise
    close_run(folder, "completed", "")
    return metrics


def _run(config: DictConfig, *, folder: RunFolder, reporter: Reporter | None) -> dict[str, float]:
    trainer, module, datamodule = assemble(config, folder=folder, reporter=reporter)
    trainer.fit(module, datamodule=datamodule, ckpt_path=str(folder.last) if folder.last.exists() else None)
    # The threshold must belong to the weights that are kept, so it is fixed once more on the best ones.
    # Rank 0 wrote them, and alone knows for sure: another machine may see a shared folder as it was a moment ago.
    best = trainer.strategy.broadcast(str(folder.best) if folder.best.exists() else None, src=0)
    trainer.validate(module, datamodule=datamodule, ckpt_path=best, verbose=False)
    figures = _scalars(trainer)
    if config.test:
        trainer.test(module, datamodule=datamodule, verbose=False)
        figures |= _scalars(trainer)
    if trainer.is_global_zero:
        add_metrics(folder, figures)
    return figures


def assemble(
    config: DictConfig, *, folder: RunFolder, reporter: Reporter | None = None, extra: Sequence[Callback] = ()
) -> tuple[Trainer, LightningModule, LightningDataModule]:
    """Build trainer, module and data module as the configuration says, seeded; `extra` callbacks come first."""
    L.seed_everything(config.seed, verbose=False)
    datamodule: LightningDataModule = instantiate(config.datamodule, _convert_="all")
    trainer = _trainer(config, folder, [*extra, *_callbacks(config, reporter)])
    strategy = trainer.strategy
    # Only ZeRO-3 gains by building within its own context: no rank then ever holds the model whole.
    given = {"deferred": True} if isinstance(strategy, DeepSpeed) and strategy.stage == 3 else {}
    module: LightningModule = instantiate(config.module, **given, _recursive_=False, _convert_="all")
    return trainer, module, datamodule


def _trainer(config: DictConfig, folder: RunFolder, callbacks: list[Callback]) -> Trainer:
    loggers: Any = False
    if config.get("logger"):
        config.logger.save_dir = str(folder.path)
        loggers = instantiate(config.logger, _convert_="all")
    environment = cluster_environment()
    trainer: Trainer = instantiate(
        config.trainer,
        default_root_dir=str(folder.path),
        callbacks=callbacks,
        logger=loggers,
        plugins=[AtomicCheckpointIO(), environment],
        enable_checkpointing=True,
        _convert_="all",
    )
    check_ranks(trainer, environment)
    return trainer


def _callbacks(config: DictConfig, reporter: Reporter | None) -> list[Callback]:
    """Those of the configuration, and what every run needs: its owner first, at the end reports and interruption."""
    callbacks: list[Callback] = [
        Ownership(),
        *(instantiate(spec, _convert_="all") for spec in config.callbacks.values() if spec is not None),
    ]
    final = (config.objective, config.objective.replace("valid/", "test/", 1))
    callbacks.append(HyperparameterTable(_compared(config), metrics=tuple(dict.fromkeys([*DEFAULT_METRICS, *final]))))
    if not config.get("logger"):  # it insists on one
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    if config.trainer.get("enable_progress_bar", True):
        callbacks.append(Progress())
    checkpoints = next(callback for callback in callbacks if isinstance(callback, Checkpoints))
    if reporter is not None:
        callbacks.append(TrialReporting(reporter=reporter, monitor=config.objective))
    callbacks.append(Interruption(checkpoints=checkpoints))
    return callbacks


def _compared(config: DictConfig) -> dict[str, Any]:
    """The settings by which TensorBoard compares runs: what is trained, on what, and how long."""
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return {key: plain[key] for key in ("seed", "module", "datamodule", "trainer")}


def resolve_precision(config: DictConfig) -> None:
    """Replace `trainer.precision=auto` by bf16-mixed where the device computes bf16 natively, else by 32-true."""
    if config.trainer.get("precision") != "auto":
        return
    accelerator = config.trainer.get("accelerator", "auto")
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    config.trainer.precision = default_precision(accelerator)


def _scalars(trainer: Trainer) -> dict[str, float]:
    return {
        name: float(value) for name, value in trainer.callback_metrics.items() if not name.startswith(("train/", "lr"))
    }


def _quiet_known_noise() -> None:
    """Silence single messages of Lightning that tell its users what we chose on purpose."""
    for message in (
        r".*does not have many workers.*",  # our loaders serve from memory
        r".*module\(s\) in eval mode at the start of training.*",  # frozen layers are
        r".*Checkpoint directory .* exists and is not empty.*",
        r".*is smaller than the logging interval.*",
        r".*isinstance\(treespec, LeafSpec\).*",  # Lightning's own use of torch
        r".*The `srun` command is available.*",  # the ranks are told by lightning_modules.cluster
        r".*sync_dist=True.*",  # every rank computes the metrics from the scores of all
    ):
        warnings.filterwarnings("ignore", message=message)
    # What Lightning says at level INFO (devices, tips, paths) is in our own lines or in the run folder.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
