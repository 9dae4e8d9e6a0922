"""Distils a reward into a language model by PPO, RLOO or rejection sampling: the algorithm is `training_step`.

What happens to numbers is in `nines.rl`, sampling in `nines.policies`, models and gradients in
`lightning_modules.policy_models` and `lightning_modules.policy_optimisation`; this module puts them in order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from lightning_modules.frozen_states import FrozenStates
from lightning_modules.gathering import gather_from_ranks
from lightning_modules.held_out import FIGURES, HeldOut, HeldOutEvaluation
from lightning_modules.policy_optimisation import PolicyOptimisation, iteration_seed
from lightning_modules.policy_sampling import Sampled, as_completions, without_cached_casts
from lightning_modules.ppo_figures import completion_kl, rollout_figures
from lightning_modules.ppo_update import UpdateFigures, imitation_loss, ppo_loss
from lightning_modules.scored_samples import scored, with_empty_scored
from nines.rl.masking import whiten
from nines.rl.rewards import penalise_unfinished
from nines.rl.rollout import Completions, Rollout, Targets, minibatches, share_of_rank, take
from nines.rl.targets import advantages_and_returns, penalised_rewards, worth_imitating


class PPOGenerator(PolicyOptimisation):
    """A generator that learns from a reward of its own completions (Ziegler et al. 2019, Stiennon et al. 2020).

    One training batch is one iteration: completions are sampled, judged, learned from and forgotten. So nothing of a
    rollout outlives a batch, and a checkpoint between two batches holds all there is. `trainer.global_step` counts
    iterations, whatever number of minibatches each has.

    The arguments are those of `PolicyOptimisation`.
    """

    objectives: ClassVar[tuple[str, ...]] = FIGURES
    frozen: FrozenStates

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Sample, score, look back, penalise divergence, estimate advantages, learn, steer the KL."""
        sampled = self.gathered(self.scored(self.sample(batch["row"].tolist())))
        rollout, entropy = self.look_back(sampled)
        rewards = penalised_rewards(rollout, self.scaled_scores(rollout), self.options, coefficient=self.kl.value)
        targets = advantages_and_returns(rollout, rewards, self.options)
        updates = self.imitate(rollout) if self.options.method == "rejection_sampling" else self.learn(rollout, targets)
        self.report(sampled, rollout, targets, updates, entropy)
        self.kl.update(float(completion_kl(rollout).mean()), completions=len(rollout))
        self.end_iteration()

    # ---- the lines of training_step

    def sample(self, rows: Sequence[int]) -> list[Sampled]:
        """Several completions of each of this rank's prompts under the policy of now."""
        texts = self.prompts("train")
        with without_cached_casts():
            return self.sampler().sample(
                [texts[row] for row in rows],
                rows,
                count=self.options.completions_per_prompt,
                seed=iteration_seed(self.seed, self.iteration),
            )

    def scored(self, sampled: Sequence[Sampled]) -> list[Sampled]:
        """The same completions with total and parts of their rewards, judged as text."""
        return scored(self.reward, sampled, self.prompts("train"))

    def gathered(self, sampled: list[Sampled]) -> list[Sampled]:
        """The completions of all ranks, on every rank: what follows does not depend on how many there are."""
        return with_empty_scored(gather_from_ranks(sampled, world_size=self.trainer.world_size))

    def look_back(self, sampled: Sequence[Sampled]) -> tuple[Rollout, Tensor]:
        """Log-probabilities, reference and values of all completions, and the entropy at each token.

        The forward passes are those of the first epoch to come, row by row, so that before the first update the ratio
        of new and old probabilities is 1 to the bit.
        """
        completions = as_completions(sampled, padding=self.model.policy.pad, device=self.device)
        self.frozen = FrozenStates(self.frozen_states)
        found = torch.zeros(4, *completions.completion_mask.shape, device=self.device)
        with torch.no_grad(), without_cached_casts():
            for minibatch in self.minibatches(completions, epoch=0):
                for rows in self.own_passes(completions, minibatch):
                    part = take(completions, rows).trimmed()
                    frozen = self.frozen.of(part, rows)
                    policy = self.figures_of(part, entropy=True, frozen=frozen)
                    assert policy.entropy is not None
                    reference = self.reference_log_probs(part, frozen=frozen)
                    seen = [policy.log_probs, reference, policy.values, policy.entropy]
                    found[:, rows.to(self.device), : part.completion_mask.shape[1]] = torch.stack(seen)
        log_probs, reference, values, entropy = self.summed_over_ranks(found)
        scores = torch.tensor([one.score for one in sampled], device=self.device)
        parts = {
            name: torch.tensor([one.parts[name] for one in sampled], device=self.device) for name in sampled[0].parts
        }
        return Rollout(completions, scores, parts, log_probs, reference, values), entropy

    def scaled_scores(self, rollout: Rollout) -> Tensor:
        """What is maximised: scores with the penalty of unfinished completions, scaled and clipped."""
        scores, finished = rollout.scores, rollout.completions.finished
        if self.options.unfinished_score is not None:
            scores = penalise_unfinished(scores, finished, penalty=self.options.unfinished_score)
        return self.scaling(scores)

    def learn(self, rollout: Rollout, targets: Targets) -> UpdateFigures:
        """Epochs of minibatches of the clipped losses, until they end or the policy has moved too far."""
        updates = UpdateFigures()
        for epoch in range(self.options.epochs):
            for minibatch in self.minibatches(rollout.completions, epoch=epoch):
                aims = self.whitened(targets, rollout.mask, minibatch)
                loss_of = partial(self.pass_loss, rollout, aims, count=self.tokens_of(rollout, minibatch))
                sums = self.backward_over(self.own_passes(rollout.completions, minibatch), loss_of)
                if updates.add(sums)["kl_to_old"] > (self.options.stop_kl or float("inf")):
                    self.drop_gradients()
                    return updates
                self.step()
        return updates

    def imitate(self, rollout: Rollout) -> UpdateFigures:
        """Epochs of minibatches of the likelihood of the best completions; none if too few are good enough."""
        updates = UpdateFigures()
        finished, prompt = rollout.completions.finished, rollout.completions.prompt
        chosen = worth_imitating(rollout.scores, finished, prompt, self.options).nonzero().flatten()
        best = take(rollout, chosen)
        self.frozen = FrozenStates(self.frozen_states)  # other rows than those that were looked back on
        if len(best) < self.trainer.world_size:
            return updates
        for epoch in range(self.options.epochs):
            for minibatch in self.minibatches(best.completions, epoch=epoch):
                loss_of = partial(self.pass_loss, best, None, count=self.tokens_of(best, minibatch))
                updates.add(self.backward_over(self.own_passes(best.completions, minibatch), loss_of))
                self.step()
        return updates

    # ---- the lines of learn and imitate

    def minibatches(self, completions: Completions, *, epoch: int) -> list[Tensor]:
        """Rows of each minibatch of an epoch of this iteration, over all ranks."""
        return minibatches(
            completions.prompt,
            size=self.options.minibatch_size,
            seed=(self.seed, self.iteration, epoch),
            together=self.options.keep_siblings_together,
        )

    def own_passes(self, completions: Completions, minibatch: Tensor) -> list[Tensor]:
        """The rows of each forward pass of this rank."""
        return share_of_rank(
            minibatch,
            completions.lengths.cpu(),
            rank=self.trainer.global_rank,
            ranks=self.trainer.world_size,
            size=self.options.forward_size,
            prompts=completions.prompt.cpu() if self.options.keep_siblings_together else None,
        )

    def tokens_of(self, rollout: Rollout, minibatch: Tensor) -> float:
        """Sampled tokens of a minibatch."""
        return float(rollout.completions.lengths[minibatch.to(self.device)].sum())

    def whitened(self, targets: Targets, mask: Tensor, minibatch: Tensor) -> Targets:
        """Targets with the advantages of this minibatch whitened among themselves, where options ask for it."""
        if self.options.whiten_advantages != "minibatch":
            return targets
        rows = minibatch.to(self.device)
        advantages = targets.advantages.clone()
        advantages[rows] = whiten(advantages[rows], mask[rows])
        return dataclasses.replace(targets, advantages=advantages)

    def pass_loss(
        self, rollout: Rollout, targets: Targets | None, rows: Tensor, *, count: float
    ) -> tuple[Tensor, Tensor]:
        """Loss and sums of one forward pass; without targets the completions are imitated."""
        part = take(rollout, rows).trimmed()
        frozen = self.frozen.of(part.completions, rows)
        now = self.figures_of(part.completions, entropy=self.options.entropy_coefficient > 0, frozen=frozen)
        if targets is None:
            return imitation_loss(now, part, count=count)
        aims = take(targets, rows).narrowed(part.mask.shape[1])
        return ppo_loss(now, part, aims, self.options, count=count)

    # ---- what is seen

    def report(
        self,
        sampled: Sequence[Sampled],
        rollout: Rollout,
        targets: Targets,
        updates: UpdateFigures,
        entropy: Tensor,
    ) -> None:
        """Log what every rank knows alike."""
        figures = rollout_figures(sampled, rollout, targets, entropy, coefficient=self.kl.value)
        figures |= {name: value for name, value in updates.averages().items() if name != "ratio"}
        figures["updates"] = float(updates.updates)
        if updates.first is not None:
            figures["first_ratio"] = updates.first["ratio"]
        if not self.options.needs_values:
            figures = {
                name: value for name, value in figures.items() if "value" not in name and "explained" not in name
            }
        for name, value in figures.items():
            self.log(f"train/{name}", value, prog_bar=name in {"score", "kl"}, rank_zero_only=False)

    # ---- evaluation

    def on_validation_epoch_start(self) -> None:
        """Forget what was collected before; what the reference says stays."""
        self._held_out_evaluation.begin()

    def on_test_epoch_start(self) -> None:
        """The same for the test."""
        self._held_out_evaluation.begin()

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Complete held-out prompts by policy and reference, and have both judged."""
        self._held_out_evaluation.collect("valid", batch["row"].tolist())

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """The same with the test prompts."""
        self._held_out_evaluation.collect("test", batch["row"].tolist())

    def on_validation_epoch_end(self) -> None:
        """Log safety and quality with intervals, beside the reference's."""
        self._log_held_out("valid")

    def on_test_epoch_end(self) -> None:
        """The same for the test."""
        self._log_held_out("test")

    def held_out(self, split: str) -> list[HeldOut]:
        """What policy and reference made of each prompt of `split` at the latest evaluation, on every rank."""
        return self._held_out_evaluation.rows[split]

    @property
    def _held_out_evaluation(self) -> HeldOutEvaluation:
        if self._evaluation is None:
            self._evaluation = HeldOutEvaluation(self)
        return self._evaluation

    _evaluation: HeldOutEvaluation | None = None

    def _log_held_out(self, split: str) -> None:
        figures = self._held_out_evaluation.finish(split)
        self.log_dict({f"{split}/{name}": value for name, value in figures.items()}, rank_zero_only=False)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `PolicyOptimisation`; what the reference said of held-out prompts is drawn again, and is the same."""
        super().on_load_checkpoint(checkpoint)
        self._evaluation = None
