"""What DeepSpeed's strategy hands to the libraries beside it: batches as they are, and how weights are to be loaded."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.plugins.precision import DeepSpeedPrecision


class WholeInputs(DeepSpeedPrecision):
    """Lets batches be as they are: a model casts what it multiplies, and row weights stay in float32."""

    def convert_input(self, data: Any) -> Any:
        """`data`."""
        return data


class PartitionedLoading:
    """What transformers looks for to share parameters out while it loads them.

    Its own `HfDeepSpeedConfig` says the same, and needs accelerate for it.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def is_zero3(self) -> bool:
        """Whether the parameters are shared out."""
        return True
