"""The distribution of the next token under sampling options, as pure functions over the whole vocabulary.

`nines.policies.token_choice` draws from the same distribution without sorting the vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nines.policies.options import SamplingOptions


def top_k_mask(logits: Tensor, k: int) -> Tensor:
    """Whether each token is one of the `k` likeliest, shape (rows, vocabulary); exactly `k` are, whatever the ties."""
    kept = torch.zeros_like(logits, dtype=torch.bool)
    return kept.scatter(-1, logits.topk(min(k, logits.shape[-1]), dim=-1).indices, value=True)


def top_p_mask(logits: Tensor, p: float) -> Tensor:
    """Whether the tokens that are likelier than each hold less than `p` of the mass, shape (rows, vocabulary).

    It is the smallest set of likeliest tokens that holds at least `p` (Holtzman et al. 2020).
    """
    ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
    mass = torch.softmax(ordered.double(), dim=-1)
    before = mass.cumsum(-1) - mass
    # Rounding must not drop the likeliest token, nor add one where the mass has been reached.
    kept = before < p
    kept[..., 0] = True
    return torch.zeros_like(kept).scatter(-1, ids, kept)


def min_p_mask(logits: Tensor, p: float) -> Tensor:
    """Whether each token is at least `p` times as likely as the likeliest, shape (rows, vocabulary)."""
    if p <= 0:
        return torch.ones_like(logits, dtype=torch.bool)
    return logits >= logits.amax(-1, keepdim=True) + torch.tensor(p, dtype=logits.dtype).log()


def penalise_repetition(logits: Tensor, history: Tensor, penalty: float) -> Tensor:
    """Logits with tokens of `history` made less likely (Keskar et al. 2019, section 4.1).

    Args:
        logits: Shape (rows, vocabulary).
        history: Token ids that each row has seen, shape (rows, tokens); -1 where there is none.
        penalty: Positive logits are divided by it, negative ones multiplied.
    """
    seen = torch.zeros((logits.shape[0], logits.shape[1] + 1), dtype=torch.bool, device=logits.device)
    # The column behind the vocabulary takes what is no token.
    seen = seen.scatter(1, history.where(history >= 0, logits.shape[1]), value=True)[:, :-1]
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def adjusted_logits(logits: Tensor, options: SamplingOptions, *, history: Tensor | None = None) -> Tensor:
    """Logits in float32 after repetition penalty and temperature, shape (rows, vocabulary)."""
    logits = logits.float()
    if options.penalises_repetition and options.repetition_penalty is not None and history is not None:
        logits = penalise_repetition(logits, history, options.repetition_penalty)
    return logits if options.temperature == 1 else logits / options.temperature


def sampling_log_probs(logits: Tensor, options: SamplingOptions, *, history: Tensor | None = None) -> Tensor:
    """Log-probabilities of the next token under `options`, shape (rows, vocabulary); -inf for tokens filtered out.

    Args:
        logits: Of the model, shape (rows, vocabulary).
        options: See `SamplingOptions` for the filters and their order.
        history: For the repetition penalty; see `penalise_repetition`.
    """
    logits = adjusted_logits(logits, options, history=history)
    if options.top_k > 0:
        logits = logits.masked_fill(~top_k_mask(logits, options.top_k), -torch.inf)
    if options.top_p < 1:
        logits = logits.masked_fill(~top_p_mask(logits, options.top_p), -torch.inf)
    if options.min_p > 0:
        logits = logits.masked_fill(~min_p_mask(logits, options.min_p), -torch.inf)
    return torch.log_softmax(logits, dim=-1)
