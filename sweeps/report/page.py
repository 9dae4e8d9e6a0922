"""The report as one HTML page that needs no network: tables, figures and conclusions, all inline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape

from sweeps.definition import SweepDefinition
from sweeps.report import captions
from sweeps.report.accounts import failed, pruned
from sweeps.report.comparisons import Comparisons, compare, compared_keys
from sweeps.report.conclusions import conclusions
from sweeps.report.figures import learning_curves, objective_over_time, objective_over_trials, pareto_figure
from sweeps.report.importance import Importances, importances
from sweeps.report.layout import figure, page, section
from sweeps.report.parameter_figures import importance_figure, learning_rate_by_clipping, slices
from sweeps.report.results import ParameterSet, current, format_params, parameter_sets, varying_keys
from sweeps.report.strategy_figures import differences_figure, strategies_figure
from sweeps.report.tables import differences_table, strategies_tables, trials_table
from sweeps.trial import TrialRecord


@dataclasses.dataclass(frozen=True)
class Analysis:
    """Everything that the page shows, computed once.

    Attributes:
        records: All rows of the study.
        definition: Of the sweep.
        sets: Completed sets of parameters.
        comparisons: Of the choices of each parameter.
        importances: Of the parameters.
        sentences: The conclusions.
    """

    records: Sequence[TrialRecord]
    definition: SweepDefinition
    sets: Sequence[ParameterSet]
    comparisons: Comparisons
    importances: Importances
    sentences: list[str]


def analyse(records: Sequence[TrialRecord], definition: SweepDefinition) -> Analysis:
    """Compute what the page shows."""
    sets = parameter_sets(records)
    compared = compare(sets, definition)
    found = importances(sets, definition)
    sentences = conclusions(records, definition, sets=sets, comparisons=compared, importances=found)
    return Analysis(records, definition, sets, compared, found, sentences)


def report_page(records: Sequence[TrialRecord], definition: SweepDefinition, *, made: str = "") -> str:
    """The page.

    Args:
        records: All rows of the study.
        definition: Of the sweep.
        made: When and from where it was made, for its foot.
    """
    analysis = analyse(records, definition)
    objective = definition.objectives[0]
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in analysis.sentences)
    fixed = f"Held fixed in every trial: <code>{escape(' '.join(definition.train))}</code>" if definition.train else ""
    sections = [
        section("The trials", trials_table(records, definition) if records else "", empty="No trial has begun."),
        _course(analysis),
        _parameters(analysis),
        _strategies(analysis),
        section("What was pruned, and why", _pruned(analysis), empty="Nothing was pruned."),
        section("What crashed", _crashed(records), empty="Nothing crashed."),
        section("What can be said", f'<ol class="conclusions">{listed}</ol>'),
    ]
    lead = (
        f'<p class="question">{escape(definition.question)}</p>'
        f'<p class="quiet">Objective: {escape(objective.metric)}, {escape(objective.direction)}d on validation data. '
        f'{escape(analysis.sentences[0])}</p><p class="quiet">{fixed}</p>'
    )
    return page(f"Sweep {definition.name}", lead=lead, sections=sections, made=made)


def _course(analysis: Analysis) -> str:
    records, definition = analysis.records, analysis.definition
    text = section(
        "Objective over trials and over time",
        figure(objective_over_trials(records, definition), "trials", captions.TRIALS),
        figure(objective_over_time(records, definition), "time", captions.TIME),
        figure(learning_curves(records, definition), "curves", captions.CURVES),
        empty="No trial has reported the objective yet.",
    )
    if len(definition.objectives) > 1:
        front = figure(pareto_figure(records, definition), "pareto", captions.PARETO)
        text += section("Pareto front", front, empty="No trial has completed yet.")
    return text


def _parameters(analysis: Analysis) -> str:
    rows, sets, definition = current(analysis.records), analysis.sets, analysis.definition
    found = analysis.importances
    caption = captions.importance(
        sets=len(sets),
        conditional=bool(found.conditional),
        left_out=sum(record.state in ("pruned", "failed") for record in rows),
    )
    varying = [key for key in varying_keys(rows, definition) if any(key in each.params for each in sets)]
    text = section(
        "Which parameters matter",
        figure(importance_figure([*found.always, *found.conditional]), "importance", caption),
        *(f"<p>{escape(refusal)}</p>" for refusal in found.refusals),
    )
    text += section(
        "Slices", figure(slices(sets, varying, definition), "slices", captions.SLICES), empty="Nothing to compare yet."
    )
    heat = learning_rate_by_clipping(sets, definition)
    return text + (section("Learning rate × clipping", figure(heat, "heat", captions.HEAT)) if heat else "")


def _strategies(analysis: Analysis) -> str:
    if not compared_keys(analysis.definition):
        return ""
    return section(
        "Strategies compared",
        figure(
            strategies_figure(analysis.comparisons.strategies, analysis.definition), "strategies", captions.STRATEGIES
        ),
        strategies_tables(analysis.comparisons.strategies),
        figure(
            differences_figure(analysis.comparisons.differences, analysis.definition),
            "differences",
            captions.DIFFERENCES,
        ),
        differences_table(analysis.comparisons.differences) if analysis.comparisons.differences else "",
        f'<p class="quiet">{escape(captions.METHOD)}</p>' if analysis.comparisons.differences else "",
        empty="No two choices of a parameter have results at all their seeds yet.",
    )


def _pruned(analysis: Analysis) -> str:
    objective = analysis.definition.objectives[0]
    items = [
        f'<li>Trial {each.record.number} <span class="quiet">({escape(format_params(each.record.params))})</span>: '
        f'{escape(each.sentence(objective))} <span class="quiet">{escape(each.record.reason)}</span></li>'
        for each in pruned(analysis.records, objective)
    ]
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _crashed(records: Sequence[TrialRecord]) -> str:
    parts: list[str] = []
    for record in failed(records):
        reason = escape(record.reason or "no reason was recorded")
        again = " It was tried again." if record.superseded else ""
        parts.append(
            f'<h3>Trial {record.number}: <span class="failed">{reason}</span></h3>'
            f'<p class="quiet">{escape(format_params(record.params))}, seed {record.seed}, '
            f"on {escape(record.host or 'an unknown machine')}.{again} "
            f"Its folder: <code>{escape(str(record.folder))}</code></p>"
        )
        if record.log_tail:
            parts.append(f"<pre>{escape(chr(10).join(record.log_tail))}</pre>")
    return "".join(parts)
