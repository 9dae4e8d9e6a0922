"""A language model with a value head: what an update needs of each sampled token, in one module with one optimizer."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nines.models.language_model import LanguageModel
from nines.models.split_trunk import SplitTrunk
from nines.models.token_log_probs import MOST_LOGITS, log_probs_of
from nines.rl.prompt_rows import PromptRows, prompt_rows
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
        self._split = SplitTrunk.of(policy)
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
        frozen: Tensor | None = None,
    ) -> TokenFigures:
        """Log-probabilities and values of the sampled tokens.

        Args:
            completions: Prompts and sampled tokens.
            temperature: What logits are divided by: the one that the tokens were sampled with.
            entropy: Whether to compute the entropy too, at the price of another pass of the output head.
            values: Whether to compute the values; else they are zero.
            frozen: What `frozen_states` gave for the same completions; None computes it.
        """
        rows, mask = prompt_rows(completions), completions.completion_mask
        before = rows.states_before(self._hidden_states(rows, frozen))
        log_probs = _log_probs(self.policy, before, completions, temperature=temperature)
        spread = None
        if entropy:
            found = entropy_of(before[mask], head=self.policy.head, temperature=temperature)
            spread = torch.zeros_like(log_probs).masked_scatter(mask, found)
        return TokenFigures(log_probs, self._values(rows, before, wanted=values, like=log_probs), spread)

    def frozen_states(self, completions: Completions) -> Tensor | None:
        """What the layers that are never trained make of the completions, (prompts, width, hidden).

        Policy and reference share it, and it stays the same from epoch to epoch. None where there are no such layers,
        or where the architecture cannot be cut.
        """
        if self._split is None:
            return None
        rows = prompt_rows(completions)
        return self._split.frozen_states(rows.tokens, attention=rows.attention, positions=rows.positions)

    def reference_log_probs(
        self, completions: Completions, *, temperature: float = 1.0, frozen: Tensor | None = None
    ) -> Tensor:
        """Log-probabilities under the policy's frozen reference, (completions, completion width), without gradients.

        Raises:
            CapabilityError: The policy keeps no reference.
        """
        rows = prompt_rows(completions)
        with torch.no_grad(), self.policy.reference():
            before = rows.states_before(self._hidden_states(rows, frozen))
            return _log_probs(self.policy, before, completions, temperature=temperature)

    def _hidden_states(self, rows: PromptRows, frozen: Tensor | None) -> Tensor:
        if self._split is None:
            return _whole_trunk(self.policy, rows)
        if frozen is None:
            frozen = self._split.frozen_states(rows.tokens, attention=rows.attention, positions=rows.positions)
        return self._split.hidden_states(frozen, attention=rows.attention, positions=rows.positions)

    def _values(self, rows: PromptRows, before: Tensor, *, wanted: bool, like: Tensor) -> Tensor:
        if not wanted:
            return torch.zeros_like(like)
        if self.critic is not None:
            before = rows.states_before(_whole_trunk(self.critic, rows))
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


def reference_log_probs(model: LanguageModel, completions: Completions, *, temperature: float = 1.0) -> Tensor:
    """Log-probabilities of the sampled tokens under `model`, (completions, completion width), without gradients."""
    rows = prompt_rows(completions)
    with torch.no_grad():
        before = rows.states_before(_whole_trunk(model, rows))
        return _log_probs(model, before, completions, temperature=temperature)


def _whole_trunk(model: LanguageModel, rows: PromptRows) -> Tensor:
    hidden: Tensor = model.trunk(
        input_ids=rows.tokens, attention_mask=rows.attention, position_ids=rows.positions, use_cache=False
    ).last_hidden_state
    return hidden


def _log_probs(model: LanguageModel, before: Tensor, completions: Completions, *, temperature: float) -> Tensor:
    """Of the sampled tokens, from the states that they were chosen in; 0 on padding."""
    mask = completions.completion_mask
    chosen = log_probs_of(
        before[mask],
        completions.tokens[:, completions.prompt_width :][mask],
        head=model.head,
        vocabulary=model.vocabulary,
        temperature=temperature,
    )
    return torch.zeros(mask.shape, dtype=torch.float32, device=before.device).masked_scatter(mask, chosen)


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
