"""Lays the completions of a prompt behind it in one row, so that a model reads the prompt once for all of them.

Attention keeps each completion to the prompt and itself, and its positions go on from the prompt's end, so that every
token has the state that it has in a row of its own.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from nines.rl.rollout import Completions

_NO_SEGMENT = -1


@dataclasses.dataclass(frozen=True)
class PromptRows:
    """Completions by prompt: each row holds a prompt and, one after the other, all its completions.

    Attributes:
        tokens: int64, shape (prompts, width), padded on the right.
        positions: Of each token in the text that it belongs to, int64, same shape.
        attention: 0 where a token (third axis) may look at another (fourth axis), else almost -inf, shape
            (prompts, 1, width, width).
        before: Place, in the flattened rows, of the token whose state each sampled token was chosen in, int64, shape
            (completions, completion width); 0 on padding.
        groups: For each row, the completions in it by their place in the batch, and how many tokens the row has.
    """

    tokens: Tensor
    positions: Tensor
    attention: Tensor
    before: Tensor
    groups: tuple[tuple[tuple[int, ...], int], ...]

    def states_before(self, hidden: Tensor) -> Tensor:
        """From states of all tokens, (prompts, width, hidden), those that the sampled tokens were chosen in.

        Returns:
            Shape (completions, completion width, hidden); any state on padding.
        """
        return hidden.flatten(0, 1)[self.before]


def prompt_rows(completions: Completions) -> PromptRows:
    """The completions with all that are of one prompt in one row; rows in the order in which prompts first appear.

    Args:
        completions: At least one; equal numbers in `prompt` mean equal prompts.
    """
    split = completions.prompt_width
    starts = (split - completions.mask[:, :split].sum(dim=1)).tolist()
    lengths = completions.lengths.tolist()
    siblings: dict[int, list[int]] = {}
    for place, prompt in enumerate(completions.prompt.tolist()):
        siblings.setdefault(prompt, []).append(place)
    sizes = [split - starts[own[0]] + sum(lengths[one] for one in own) for own in siblings.values()]
    width = max(sizes)
    tokens = torch.zeros(len(sizes), width, dtype=torch.long)
    positions = torch.zeros_like(tokens)
    segments = torch.full_like(tokens, _NO_SEGMENT)
    before = torch.zeros(completions.completion_mask.shape, dtype=torch.long)
    everything = completions.tokens.cpu()
    for row, own in enumerate(siblings.values()):
        prompt = split - starts[own[0]]
        tokens[row, :prompt] = everything[own[0], starts[own[0]] : split]
        positions[row, :prompt] = torch.arange(prompt)
        segments[row, :prompt] = 0
        at = prompt
        for number, one in enumerate(own, start=1):
            places = slice(at, at + lengths[one])
            tokens[row, places] = everything[one, split : split + lengths[one]]
            positions[row, places] = prompt + torch.arange(lengths[one])
            segments[row, places] = number
            before[one, : lengths[one]] = row * width + torch.arange(at - 1, at - 1 + lengths[one])
            before[one, 0] = row * width + prompt - 1
            at += lengths[one]
    device = completions.tokens.device
    return PromptRows(
        tokens=tokens.to(device),
        positions=positions.to(device),
        attention=_attention(segments.to(device)),
        before=before.to(device),
        groups=tuple((tuple(own), size) for own, size in zip(siblings.values(), sizes, strict=True)),
    )


def _attention(segments: Tensor) -> Tensor:
    """From the number of each token's completion, 0 for the prompt, the additive mask of its row."""
    seen, looking = segments[:, None, :], segments[:, :, None]
    allowed = ((seen == 0) | (seen == looking)) & (seen != _NO_SEGMENT)
    width = segments.shape[1]
    # Padding looks at itself, since a softmax over nothing is undefined.
    allowed = allowed.tril() | torch.eye(width, dtype=torch.bool, device=segments.device)
    # Additive, since not every attention of transformers takes a boolean mask; the value survives bf16.
    never = torch.finfo(torch.bfloat16).min
    return torch.zeros(allowed.shape, device=segments.device).masked_fill(~allowed, never)[:, None]
