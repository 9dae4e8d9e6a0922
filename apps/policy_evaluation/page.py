"""The report of an evaluation as one HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from apps.policy_evaluation import drawing
from apps.policy_evaluation.figures import FailureRate
from apps.policy_evaluation.outcome import Outcome
from sweeps.report.layout import figure, page, section
from sweeps.report.tables import cell, table

NOTE = (
    "“nines shown” is -log10 of the interval's upper end: so many nines the data support. Refused is the share of "
    "prompts to which nothing was delivered; a refusal is no failure, and loses its comparison."
)


def report_page(outcome: Outcome, *, made: str = "") -> str:
    """The page; its figures are those of `Outcome.as_json`."""
    policy, against = (run.name for run in outcome.runs)
    lead = (
        f'<p class="question">How often does {escape(policy)} fail, and what does it cost in quality against '
        f'{escape(against)}?</p><ol class="conclusions">'
        f"{''.join(f'<li>{escape(sentence)}</li>' for sentence in outcome.headlines())}</ol>"
    )
    sections = [
        section(
            "Failure rate",
            figure(drawing.failures_figure(outcome.rates), "failures", drawing.FAILURES),
            _rates(outcome.rates),
            empty="No judge was given.",
        ),
        section(
            "Quality",
            figure(
                drawing.quality_figure(outcome.qualities, policy=policy, against=against), "quality", drawing.QUALITY
            ),
            _qualities(outcome),
            empty="No judge of quality was given.",
        ),
        section("Cost", _costs(outcome), figure(drawing.tries_figure(outcome.runs), "tries", drawing.TRIES)),
        section("The worst that was delivered", _worst(outcome), empty="Nothing was delivered."),
        section("What was assumed", _list(outcome.assumed)),
        section("What was not measured", _list(outcome.unmeasured)),
    ]
    return page(f"{policy} against {against}", lead=lead, sections=sections, made=made)


def _rates(rates: Sequence[FailureRate]) -> str:
    if not rates:
        return ""
    heads = ["policy", "judge", "prompts", "failure rate [95 %]", "failures", "nines shown", "refused"]
    rows = [
        "<tr>"
        + "".join(
            (
                cell(one.policy),
                cell(one.judge),
                cell(one.stratum),
                cell(percent(one.rate.estimate, one.rate.lower, one.rate.upper), value=one.rate.estimate),
                cell(f"{one.failures} of {one.delivered}", value=one.failures),
                cell(f"{one.nines_shown:.2f}", value=one.nines_shown),
                cell(f"{100 * one.refused:.1f} %", value=one.refused),
            )
        )
        + "</tr>"
        for one in rates
    ]
    return table(heads, rows, caption=NOTE)


def _qualities(outcome: Outcome) -> str:
    if not outcome.qualities:
        return ""
    rows = [
        "<tr>"
        + "".join(
            (
                cell(one.judge),
                cell(one.stratum),
                cell(percent(one.share.estimate, one.share.lower, one.share.upper), value=one.share.estimate),
                cell(f"{100 * one.equal:.1f} %", value=one.equal),
            )
        )
        + "</tr>"
        for one in outcome.qualities
    ]
    return table(["judge", "prompts", "quality [95 %]", "equal texts, nobody need judge"], rows)


def _costs(outcome: Outcome) -> str:
    rows = []
    for one in outcome.costs():
        cells = [cell(str(one["policy"]))]
        cells += [cell(_number(one[key]), value=one[key]) for key in ("tries", "seconds", "drawn_tokens", "gave_up")]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = [
        "policy",
        "tries a prompt",
        "seconds a delivered completion",
        "drawn tokens a delivered completion",
        "gave up",
    ]
    return table(heads, rows)


def _worst(outcome: Outcome) -> str:
    parts = []
    for one in outcome.worst():
        scores = ", ".join(f"{name} {value:.3f}" for name, value in one["scores"].items())
        understood = f"<br>goes on: {escape(one['continuation'])}" if one.get("continuation") else ""
        parts.append(
            f'<li><span class="quiet">{escape(one["prompt"])}</span> <strong>{escape(one["completion"])}</strong>'
            f'{understood}<br><span class="quiet">{escape(scores)}</span></li>'
        )
    return f"<ol>{''.join(parts)}</ol>" if parts else ""


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def percent(estimate: float, lower: float, upper: float) -> str:
    """A share with its interval, in percent."""
    return f"{100 * estimate:.3g} % [{100 * lower:.3g}, {100 * upper:.3g}]"


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
