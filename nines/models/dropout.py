"""Which kind of dropout acts where in a classifier, and how much; checked before any weights are loaded."""

from __future__ import annotations

from dataclasses import dataclass

from nines.errors import CapabilityError, ConfigError


@dataclass(frozen=True)
class DropoutOptions:
    """Probabilities in [0, 1); None keeps what the model's own configuration says.

    Args:
        hidden: After each sublayer of the encoder layers (Srivastava et al. 2014; Vaswani et al. 2017, section 5.4).
        attention: On the attention weights. On CPU any value above 0 costs about 12 % of the speed.
        head: On what the classifier head reads, and on its hidden layer.
        embedding: On the sum of the embeddings.
        layer_drop: A row skips a trained layer with this probability (LayerDrop, Fan et al. 2019). Not rescaled: the
            residual stream passes on as it came, and at prediction every layer runs. Drawn for each row, not for each
            batch, so that every parameter has a gradient on every rank.
        multi_sample: How many dropout masks of the head are drawn for each encoding (Inoue 2019); the loss is averaged
            over them. At least 1.
        r_drop: Weight of the symmetric divergence between two passes under different masks (R-Drop, Liang et al. 2021);
            0 makes no second pass. Used by the Lightning module.
    """

    hidden: float | None = None
    attention: float | None = None
    head: float | None = None
    embedding: float | None = None
    layer_drop: float = 0.0
    multi_sample: int = 1
    r_drop: float = 0.0

    def __post_init__(self) -> None:
        for name in ("hidden", "attention", "head", "embedding", "layer_drop"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError(f"dropout.{name}={value} is no probability below 1; give 0 ≤ {name} < 1")
        if self.multi_sample < 1:
            raise ConfigError(f"dropout.multi_sample={self.multi_sample}: at least one mask is needed")
        if self.r_drop < 0:
            raise ConfigError(f"dropout.r_drop={self.r_drop} must not be negative")

    def check_frozen(self, freeze_layers: int, layer_count: int) -> None:
        """Refuse a dropout that would act on frozen parts only: they run in eval mode, so it would do nothing.

        Raises:
            CapabilityError: Naming the setting and what freezes all that it acts on.
        """
        if self.embedding and freeze_layers > 0:
            raise CapabilityError(
                f"dropout.embedding={self.embedding} would do nothing: freeze_layers={freeze_layers} freezes the "
                "embeddings (frozen parts run without dropout); set it to 0 or freeze_layers=0"
            )
        if freeze_layers < layer_count:
            return
        for name in ("hidden", "attention", "layer_drop"):
            if value := getattr(self, name):
                raise CapabilityError(
                    f"dropout.{name}={value} would do nothing: freeze_layers={freeze_layers} freezes every layer "
                    "(frozen parts run without dropout); set it to 0 or freeze fewer layers"
                )
