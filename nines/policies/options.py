"""How completions are drawn: the options that every sampler of the field knows."""

from __future__ import annotations

from dataclasses import dataclass

from nines.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Temperature, filters of the next token's distribution, and where a completion ends.

    The filters apply in this order, each to what the one before it left: repetition penalty, temperature, top-k,
    top-p, min-p. Each keeps the likeliest token at least.

    Args:
        temperature: Logits are divided by it, above 0; below 1 makes likely tokens likelier.
        top_p: Keep the likeliest tokens until their mass reaches this, in (0, 1]; 1 keeps all (Holtzman et al. 2020).
        top_k: Keep this many of the likeliest tokens; 0 keeps all, 1 is greedy (Fan et al. 2018).
        min_p: Keep tokens at least this times as likely as the likeliest, in [0, 1); 0 keeps all (Nguyen et al. 2024).
        repetition_penalty: Divides positive logits of tokens that are in the prompt or the completion, and multiplies
            negative ones; at least 1; None or 1 for none (Keskar et al. 2019).
        max_new_tokens: Tokens of a completion at most.
        stop_at_sentence_end: End with the first sentence; else with the model's end token or the limit.
        shortest_sentence: Characters that the first sentence has at least: an end before that, as in "No. It fell.", is
            passed over. 13 is the rule by which the embedded data were cut.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float | None = None
    max_new_tokens: int = 40
    stop_at_sentence_end: bool = True
    shortest_sentence: int = 13

    def __post_init__(self) -> None:
        # Comparisons with nan are false, so each check is written so that nan fails it.
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"sampling.temperature must be above 0, got {self.temperature}; top_k=1 is greedy")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"sampling.top_p must lie in (0, 1], got {self.top_p}")
        if self.top_k < 0:
            raise ConfigError(f"sampling.top_k must be at least 0 (0 keeps all tokens), got {self.top_k}")
        if not 0 <= self.min_p < 1:
            raise ConfigError(f"sampling.min_p must lie in [0, 1), got {self.min_p}")
        if self.repetition_penalty is not None and not 1 <= self.repetition_penalty < float("inf"):
            raise ConfigError(f"sampling.repetition_penalty must be at least 1, got {self.repetition_penalty}")
        if self.max_new_tokens < 1:
            raise ConfigError(f"sampling.max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if self.shortest_sentence < 0:
            raise ConfigError(f"sampling.shortest_sentence must be at least 0, got {self.shortest_sentence}")

    @property
    def penalises_repetition(self) -> bool:
        """Whether logits depend on the tokens before beyond what the model makes of them."""
        return self.repetition_penalty is not None and self.repetition_penalty != 1

    @property
    def filters(self) -> bool:
        """Whether some tokens may get no mass."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0
