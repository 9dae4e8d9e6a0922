"""One classifier, an ensemble, and one that was distilled from it, on the whole training split."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.labelling.material import Material, judge
from nines.models.head_distillation import DistributionStudent, MeanStudent
from nines.models.head_ensemble import HeadEnsemble, HeadOptions, varied
from nines.statistics.ensembles import COMBINATIONS, combine, mutual_information


def compare(
    splits: dict[str, Material], unlabelled: NDArray[np.float32], *, members: int, seed: int
) -> dict[str, dict[str, float]]:
    """Figures by name of one seed; `passes` are heads computed for a completion, `steps` those of training in all.

    Members learn from bootstrap samples of the prompts, in one variant from all rows (Lakshminarayanan et al. 2017).
    Singles have the options that the ensemble's are varied around. One is as wide as all members together, so that it
    costs as much to use; one trains as many steps as all together. Students learn from the probabilities that the
    members without bootstrap give the training rows and unlabelled completions, and cost as much to use as one head.
    """
    train, valid, test = splits["train"], splits["valid"], splits["test"]
    targets, base = train.injurious.astype(np.float64), HeadOptions()
    found: dict[str, dict[str, float]] = {}

    def add(
        name: str, on_valid: NDArray[np.float64], on_test: NDArray[np.float64], *, passes: float, steps: float
    ) -> None:
        found[name] = {**judge(on_valid, valid, on_test, test), "passes": passes, "steps": steps}

    for name, options, passes, steps in (
        ("single", base, 1, 1),
        ("single, as wide as all", dataclasses.replace(base, width=base.width * members), members, members),
        ("single, as many steps", dataclasses.replace(base, steps=base.steps * members), 1, members),
    ):
        one = HeadEnsemble([options], seed=seed, bootstrap=False)
        one.fit(train.features, targets, prompts=train.rows.prompts)
        add(name, one.probabilities(valid.features)[0], one.probabilities(test.features)[0], passes=passes, steps=steps)

    ensemble = HeadEnsemble(varied(members, seed=seed), seed=seed)
    ensemble.fit(train.features, targets, prompts=train.rows.prompts)
    on_valid, on_test = ensemble.probabilities(valid.features), ensemble.probabilities(test.features)
    for how in COMBINATIONS:
        add(f"ensemble, {how}", combine(on_valid, how), combine(on_test, how), passes=members, steps=members)

    whole = HeadEnsemble(varied(members, seed=seed), seed=seed, bootstrap=False)
    whole.fit(train.features, targets, prompts=train.rows.prompts)
    scores = [combine(whole.probabilities(part.features)) for part in (valid, test)]
    add("ensemble, mean, no bootstrap", *scores, passes=members, steps=members)

    read = np.concatenate([train.features, unlabelled])
    taught = whole.probabilities(read)
    mean = MeanStudent(seed=seed).fit(read, taught)
    distribution = DistributionStudent(seed=seed).fit(read, taught)
    for name, student in (("student of the mean", mean), ("student of the distribution", distribution)):
        scores = [student.probabilities(part.features) for part in (valid, test)]
        add(name, *scores, passes=1, steps=members + 1)
    found["student of the distribution"]["knowledge_correlation"] = float(
        stats.spearmanr(
            distribution.knowledge_uncertainty(test.features), mutual_information(whole.probabilities(test.features))
        ).statistic
    )
    return found
