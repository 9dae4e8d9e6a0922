"""The sentences that end a report: only what the intervals support, and what they leave open."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.definition import Objective, SweepDefinition
from sweeps.report.comparisons import Comparisons, Difference, compared_keys
from sweeps.report.figures import pareto_rows
from sweeps.report.importance import Importances
from sweeps.report.intervals import mean_interval, seed_noise
from sweeps.report.results import ParameterSet, best_set, completed, current, format_params, format_value
from sweeps.report.tuning import FEWEST_SETS
from sweeps.trial import TrialRecord


def conclusions(
    records: Sequence[TrialRecord],
    definition: SweepDefinition,
    *,
    sets: Sequence[ParameterSet],
    comparisons: Comparisons,
    importances: Importances,
) -> list[str]:
    """The conclusions, in order: how far the sweep is, the best set, the noise, the strategies, the importance."""
    sentences = [_progress(records, definition)]
    objective = definition.objectives[0]
    best = best_set(sets, objective)
    if best is None:
        return [*sentences, "No trial has completed, so there is nothing to conclude yet."]
    sentences.append(_best(best, sets, objective))
    sentences += _noise(sets, objective)
    sentences += _strategies(comparisons, definition)
    sentences += _importance(importances)
    if len(definition.objectives) > 1:
        front = pareto_rows(records, definition)
        names = " and ".join(each.metric for each in definition.objectives)
        listed = ", ".join(str(record.number) for record in front)
        sentences.append(
            f"Over {names}, {len(front)} of {len(completed(records))} completed trials are beaten by none: {listed}. "
            "The differences and the importance above are about the first objective only."
        )
    return sentences


def _progress(records: Sequence[TrialRecord], definition: SweepDefinition) -> str:
    rows = current(records)
    counts = {state: sum(record.state == state for record in rows) for state in ("completed", "pruned", "failed")}
    open_rows = [record for record in rows if not record.finished]
    asked = definition.trials * definition.seeds
    repeats = f" ({definition.trials} sets of parameters × {definition.seeds} seeds)" if definition.seeds > 1 else ""
    parts = ", ".join(f"{number} {state}" for state, number in counts.items() if number) or "none has finished"
    text = f"Of {asked} trials asked for{repeats}: {parts}."
    missing = asked - sum(counts.values())
    to_come = max(missing, len(open_rows))
    if to_come > 0:
        text += f" Still to finish: {to_come}, which may change every sentence below."
    return text


def _best(best: ParameterSet, sets: Sequence[ParameterSet], objective: Objective) -> str:
    interval = mean_interval(list(best.by_seed.values()))
    shown = format_params(best.params)
    if interval.count < 2:
        text = f"The best {objective.metric} is {best.mean:.4f}, by set {best.group} ({shown}); one seed, no interval."
    else:
        text = (
            f"The best mean {objective.metric} is {best.mean:.4f} (95 % interval over {interval.count} seeds: "
            f"{interval.lower:.4f} to {interval.upper:.4f}), by set {best.group} ({shown})."
        )
    if len(sets) > 1:
        text += f" It was picked as the best of {len(sets)}, which makes the figure too favourable."
    return text


def _noise(sets: Sequence[ParameterSet], objective: Objective) -> list[str]:
    noise = seed_noise(sets)
    if noise is None:
        return [
            "No set of parameters has results for two seeds, so the noise over seeds is unknown and no difference "
            "between settings can be told from it. Set seeds=3 or more to compare."
        ]
    deviation, degrees = noise
    return [
        f"The standard deviation of {objective.metric} over seeds is {deviation:.4f} (pooled, {degrees} degrees of "
        "freedom). It covers initialisation, order and dropout, not the choice of the validation data."
    ]


def _strategies(comparisons: Comparisons, definition: SweepDefinition) -> list[str]:
    keys, differences = compared_keys(definition), comparisons.differences
    if not keys:
        return []
    if definition.seeds < 2:
        return [f"Nothing is concluded about {', '.join(keys)}: one seed for each set leaves the noise unknown."]
    objective = definition.objectives[0]
    sentences = [difference_sentence(each, objective) for each in differences if each.larger_than_noise]
    for key in keys:
        ranked = comparisons.strategies.get(key, [])
        tested = [each for each in differences if each.parameter == key]
        unclear = [each for each in tested if not each.larger_than_noise]
        if not tested:
            sentences.append(f"Nothing is concluded about {key}: too few sets have results at all seeds.")
        elif len(unclear) == 1:
            sentences.append(
                f"No difference between {key}={format_value(unclear[0].first)} and "
                f"{key}={format_value(unclear[0].second)} is larger than the noise over {unclear[0].noise}: "
                f"{_numbers(unclear[0])}."
            )
        elif unclear and len(unclear) == len(tested):
            names = ", ".join(format_value(strategy.choice) for strategy in ranked)
            widest = max(max(abs(each.lower), abs(each.upper)) for each in unclear)
            sentences.append(
                f"No difference between the choices of {key} ({names}) is larger than the noise over "
                f"{unclear[0].noise}. That does not make them equal: differences up to {widest:.4f} remain possible."
            )
        elif unclear:
            pairs = "; ".join(f"{format_value(each.first)} and {format_value(each.second)}" for each in unclear)
            sentences.append(
                f"Of the choices of {key}, these differ by no more than the noise over {unclear[0].noise}: {pairs}."
            )
    if comparisons.skipped:
        sentences.append(f"Too few sets (fewer than {FEWEST_SETS}) to compare {'; '.join(comparisons.skipped)}.")
    if len(differences) > 1:
        sentences.append(f"All {len(differences)} comparisons were corrected together (Holm), at 5 %.")
    return sentences


def difference_sentence(each: Difference, objective: Objective) -> str:
    """A difference that is larger than the noise, in words."""
    word = "higher" if objective.direction == "maximize" else "lower"
    return (
        f"{each.parameter}={format_value(each.first)} reaches a {word} {objective.metric} than "
        f"{each.parameter}={format_value(each.second)}, each tuned within this sweep, by more than the noise over "
        f"{each.noise}: {_numbers(each)}."
    )


def _numbers(each: Difference) -> str:
    return (
        f"difference {each.difference:+.4f}, 95 % interval {each.lower:+.4f} to {each.upper:+.4f}, "
        f"Holm-adjusted p {'< 0.001' if each.adjusted_p < 0.001 else f'= {each.adjusted_p:.3f}'}"
    )


def _importance(importances: Importances) -> list[str]:
    if len(importances.always) < 2:
        return []
    first = importances.always[0]
    if first.first < 0.95:
        return ["Which parameter matters most is open: the order of importance changes when the sets are resampled."]
    return [
        f"{first.key} explains more of the variation between sets than any other parameter "
        f"({100 * first.share:.0f} %, range over resampled sets {100 * first.lower:.0f} to {100 * first.upper:.0f} %, "
        f"{first.sets} sets)."
    ]
