"""What every stage of the pipeline is planned with, and where it finds what the stages before it made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apps.pipeline.options import DemoOptions


@dataclass(frozen=True)
class Context:
    """What every stage is planned with.

    Attributes:
        options: Of the pipeline.
        root: Its folder.
        seed: Of the pipeline.
        threads: CPU threads of torch; None leaves torch's own choice.
        device: A torch device for sampling and judging.
        config_dir: A YAML tree of the user's own.
    """

    options: DemoOptions
    root: Path
    seed: int
    threads: int | None
    device: str
    config_dir: Path | None = None

    @property
    def classifier(self) -> Path:
        """The classifier of filter and reward."""
        own = self.options.classifier
        return self.root / "classifier" if own is None else Path(own).absolute()

    @property
    def base(self) -> str:
        """Source of the base policy."""
        return f"path:{self.root / 'generator' / 'model'}"

    @property
    def reward_model(self) -> Path:
        """The reward model with its scores normalised on the base policy."""
        return self.root / "reward_model" / "normalised.ckpt"
