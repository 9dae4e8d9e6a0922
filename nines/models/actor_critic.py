"""A language model with a value head: what an update needs of each sampled token, in one module with one optimizer."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nines.models.language_model import LanguageModel
from nines.models.token_log_probs import MOST_LOGITS
from nines.rl.rollout import Completions


@dataclasses.dataclass(frozen=True)
class TokenFigures:
    """What policy and value head say of sampled tokens, each of shape (completions, completion width), float32.

    Attributes:
        log_probs: Log-probability of each token given what is before it; 0 on padding.
        values: Predicted sum of rewards from each token on; any value on padding.
        entropy: Of the distribution that each token was drawn from, in nats; 0 on padding. None if not asked for.
    """

    log_probs: Tensor
    values: Tensor
    entropy: Tensor | None = None


class ActorCritic(nn.Module):
    """A policy and its value function.

    The value head is linear and starts at zero, so that the first advantages are those of the rewards alone.

    Args:
        policy: The language model that is trained.
        critic: A language model of its own for the value head to read; None lets it read the policy's hidden states.
    """

    def __init__(self, policy: LanguageModel, *, critic: LanguageModel | None = None) -> None:
        super().__init__()
        self.policy = policy
        self.critic = critic
        self.value_head = nn.Linear((critic or policy).hidden_size, 1)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        if critic is not None:
            # Its output head is never used: a parameter without a gradient would stop data-parallel training.
            critic.head.requires_grad_(requires_grad=False)

    def forward(
        self,
        completions: Completions,
        *,
        temperature: float = 1.0,
        entropy: bool = False,
        values: bool = True,
    ) -> TokenFigures:
        """Log-probabilities and values of the sampled tokens.

        Args:
            completions: Prompts and sampled tokens.
            temperature: What logits are divided by: the one that the tokens were sampled with.
            entropy: Whether to compute the entropy too, at the price of another pass of the output head.
            values: Whether to compute the values; else they are zero.
        """
        hidden = self.policy.hidden_states(completions.tokens, completions.mask)
        first = completions.prompt_width
        sampled = completions.mask.clone()
        sampled[:, :first] = False
        log_probs = self.policy.log_probs_from(hidden, completions.tokens, sampled, temperature=temperature)[:, first:]
        # The state in which a token was chosen is that of the token before it.
        before = hidden[:, first - 1 : -1]
        mask = completions.completion_mask
        spread = None
        if entropy:
            found = entropy_of(before[mask], head=self.policy.head, temperature=temperature)
            spread = torch.zeros_like(log_probs).masked_scatter(mask, found)
        return TokenFigures(log_probs, self._values(completions, before, wanted=values, like=log_probs), spread)

    def _values(self, completions: Completions, before: Tensor, *, wanted: bool, like: Tensor) -> Tensor:
        if not wanted:
            return torch.zeros_like(like)
        if self.critic is not None:
            hidden = self.critic.hidden_states(completions.tokens, completions.mask)
            before = hidden[:, completions.prompt_width - 1 : -1]
        values: Tensor = self.value_head(before.to(self.value_head.weight.dtype)).squeeze(-1).float()
        return values

    @property
    def layer_count(self) -> int:
        """Number of layers of the policy."""
        return self.policy.layer_count

    def frozen_parameter_names(self) -> list[str]:
        """Names of the parameters that are never trained, as `state_dict` has them."""
        return [name for name, value in self.named_parameters(remove_duplicate=False) if not value.requires_grad]

    def depth_of(self, name: str) -> int:
        """Depth of a parameter by its name here; the value head is behind the last layer."""
        for part in (self.policy, self.critic):
            if part is not None and name.startswith(prefix := "policy." if part is self.policy else "critic."):
                return part.depth_of(name.removeprefix(prefix))
        return self.layer_count + 1


def entropy_of(hidden: Tensor, *, head: nn.Module, temperature: float, most_logits: int = MOST_LOGITS) -> Tensor:
    """Entropy of softmax(head(hidden) / temperature) in nats, (tokens,), float32, a few rows at a time.

    Args:
        hidden: (tokens, hidden).
        head: Hidden states to logits.
        temperature: Above 0.
        most_logits: Logits of one chunk.
    """

    def of_chunk(states: Tensor) -> Tensor:
        log_probs = torch.log_softmax(head(states).float() / temperature, dim=-1)
        return -(log_probs.exp() * log_probs).sum(dim=-1)

    rows = max(1, most_logits // int(getattr(head, "out_features", 1) or 1))
    parts = torch.split(hidden, rows)
    if torch.is_grad_enabled():
        return torch.cat([checkpoint(of_chunk, part, use_reentrant=False, determinism_check="none") for part in parts])
    return torch.cat([of_chunk(part) for part in parts])
