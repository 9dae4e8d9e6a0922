"""How accurate labellers must be for their labels to help: simulated readers on the training split, judged on test.

The same readings bought are spent on as many rows, or on a third as many rows that three readers see.
"""

from __future__ import annotations

import numpy as np

from benchmarks.labelling.material import Material, judge
from datamodules.labelling import Aggregate, Labelling, labelled_targets
from nines.models.head_ensemble import HeadEnsemble, varied
from nines.statistics.ensembles import combine

ACCURACIES = ((0.0, 0.0), (0.05, 0.01), (0.2, 0.1), (0.4, 0.3))
"""Mean chances that a labeller misses an injurious row, and that he raises a false alarm."""

READINGS = (1000, 4000)
DESIGNS: dict[str, tuple[int, Aggregate]] = {
    "one reading a row": (1, "majority"),
    "three, majority": (3, "majority"),
    "three, Dawid and Skene's posterior": (3, "dawid_skene_soft"),
}
SPREAD = 0.1
"""How much labellers differ, see `datamodules.labelling.Labelling`."""


def labelled_by(splits: dict[str, Material], *, members: int, seed: int) -> dict[str, dict[str, float]]:
    """Figures of one seed by accuracy, readings and design; `wrong` is the share of rows on the wrong side of ½."""
    pool, valid, test = splits["train"], splits["valid"], splits["test"]
    found = {}
    for missed, false_alarms in ACCURACIES:
        for budget in READINGS:
            for name, (readings, aggregate) in DESIGNS.items():
                labelling = Labelling(
                    budget=budget,
                    readings=readings,
                    missed=missed,
                    false_alarms=false_alarms,
                    spread=SPREAD if missed else 0.0,
                    aggregate=aggregate,
                    seed=seed,
                )
                targets = labelled_targets(pool.injurious.astype(np.float32), pool.ids.tolist(), labelling)
                bought = np.flatnonzero(targets >= 0)
                own, said = pool.take(bought), targets[bought].astype(np.float64)
                ensemble = HeadEnsemble(varied(members, seed=seed), seed=seed)
                ensemble.fit(own.features, said, prompts=own.rows.prompts)
                scores = [combine(ensemble.probabilities(part.features)) for part in (valid, test)]
                figures = judge(scores[0], valid, scores[1], test)
                wrong = float(((said > 0.5) != own.injurious).mean())
                found[f"{missed:.0%}, {false_alarms:.0%}; {budget:,}; {name}"] = {**figures, "wrong": wrong}
    return found
