"""One parameter in Hydra's override grammar, such as `choice(a, b)`, to a distribution and back.

Back means: a sampled value to the text of a Hydra override that parses to that same value, always in the same form.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nines.errors import SweepError
from sweeps.trial import ParameterValue

VALID_FORMS = (
    "choice(a, b, c)",
    "interval(0.0, 0.5)",
    "tag(log, interval(1e-5, 1e-3))",
    "int(interval(1, 8))",
    "tag(log, int(interval(1, 64)))",
    "range(1, 9, 2)",
)

PLAIN_TEXT = re.compile(r"[A-Za-z_][\w./-]*")
NOT_TEXT = frozenset({"true", "false", "null", "nan", "inf"})


@dataclasses.dataclass(frozen=True)
class Domain:
    """The values that one parameter may take.

    Attributes:
        distribution: For the sampler.
        texts: Category to its text in an override, for choices; empty for numbers.
        fixed: The text of the only value, for a constant under a condition; then there is nothing to sample.
    """

    distribution: BaseDistribution
    texts: dict[ParameterValue, str]
    fixed: str | None = None

    def text(self, value: ParameterValue) -> str:
        """`value` as the right-hand side of an override."""
        if self.texts:
            return self.texts[value]
        return repr(value)

    def grid(self, points: int) -> list[ParameterValue]:
        """Every value, in order; an interval gives `points` values, evenly spaced (in the logarithm if tagged)."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return list(distribution.choices)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        low, high = distribution.low, distribution.high
        if distribution.step is not None and not distribution.log:
            count = round((high - low) / distribution.step) + 1
            if isinstance(distribution, IntDistribution) and (distribution.step > 1 or count <= points):
                return [int(low + index * distribution.step) for index in range(count)]
            if isinstance(distribution, FloatDistribution):
                return [float(f"{low + index * distribution.step:.12g}") for index in range(count)]
        shares = [index / max(points - 1, 1) for index in range(points)]
        if distribution.log:
            values = [low * (high / low) ** share for share in shares]
        else:
            values = [low + (high - low) * share for share in shares]
        if isinstance(distribution, IntDistribution):
            return sorted({round(value) for value in values})
        # Twelve digits keep the ends inside [low, high] and make the override readable.
        return [min(max(float(f"{value:.12g}"), low), high) for value in values]


def parse_override(text: str, *, where: str) -> Override:
    """`text` as Hydra reads it.

    Raises:
        SweepError: It is not an override; the message names `where` it stands.
    """
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise SweepError(f"{where}: cannot read {text!r}: {reason}. {_forms(text)}") from error


def parse_domain(key: str, source: Any, *, where: str, constant: bool = False) -> Domain:
    """The values of parameter `key` from its `source` in the YAML file.

    Args:
        key: Config key or group.
        source: A string in Hydra's grammar, or a plain value.
        where: File key for messages, such as `space.module.optimizer.lr`.
        constant: Whether a single value is welcome (under a condition) or a mistake (at the top).

    Raises:
        SweepError: The source is none of the valid forms, or its bounds make no sense.
    """
    text = source if isinstance(source, str) else json.dumps(source)
    override = parse_override(f"{key}={text}", where=where)
    if override.type is None or not override.is_sweep_override():
        if constant:
            element = override.value()
            return Domain(CategoricalDistribution([_category(element)]), {}, fixed=_text(element))
        raise SweepError(
            f"{where}: {text!r} is one fixed value, not a set of values to try. Put it under `train:` as "
            f"{f'{key}={text}'!r}, or write one of: {', '.join(VALID_FORMS)}"
        )
    sweep: Any = override.value()
    try:
        if isinstance(sweep, ChoiceSweep):
            return _choice(sweep)
        if isinstance(sweep, RangeSweep):
            return _range(sweep)
        if isinstance(sweep, IntervalSweep):
            return _interval(sweep)
    except ValueError as error:
        raise SweepError(f"{where}: {text!r}: {error}") from error
    raise SweepError(f"{where}: {text!r} cannot be sampled from. {_forms(text)}")


def _choice(sweep: ChoiceSweep) -> Domain:
    if sweep.tags:
        raise ValueError(f"a choice takes no tags, it has {sorted(sweep.tags)}")
    texts: dict[ParameterValue, str] = {}
    for element in sweep.list:
        category = _category(element)
        if any(category == known and type(category) is type(known) for known in texts):
            raise ValueError(f"the choice {_text(element)} is listed twice")
        if category in texts:
            raise ValueError(f"the choices {texts[category]} and {_text(element)} are equal numbers")
        texts[category] = _text(element)
    return Domain(CategoricalDistribution(list(texts)), texts)


def _range(sweep: RangeSweep) -> Domain:
    if sweep.tags - {"int", "float"}:
        raise ValueError(f"a range takes no tag {sorted(sweep.tags)}; use tag(log, interval(a, b)) for a log scale")
    # Hydra may hold floats as Decimal, and its range leaves the end out.
    values = list(sweep.range())
    if not values:
        raise ValueError("the range is empty: the end is left out, so it must lie above the start")
    if all(isinstance(value, int) for value in values):
        step = int(values[1] - values[0]) if len(values) > 1 else 1
        if step < 0:
            values, step = values[::-1], -step
        return Domain(IntDistribution(int(values[0]), int(values[-1]), step=step), {})
    numbers = sorted(float(f"{float(value):.12g}") for value in values)
    width = float(f"{abs(float(sweep.step)):.12g}")
    return Domain(FloatDistribution(numbers[0], numbers[-1], step=width), {})


def _interval(sweep: IntervalSweep) -> Domain:
    unknown = sweep.tags - {"log", "int", "float"}
    if unknown:
        raise ValueError(f"unknown tag {sorted(unknown)}; valid tags: int, log")
    if sweep.start is None or sweep.end is None or sweep.start >= sweep.end:
        raise ValueError(f"the interval is empty: {sweep.start} is not below {sweep.end}")
    log = "log" in sweep.tags
    if log and sweep.start <= 0:
        raise ValueError(f"a log scale needs a positive start, not {sweep.start}")
    if "int" in sweep.tags or (isinstance(sweep.start, int) and isinstance(sweep.end, int)):
        return Domain(IntDistribution(int(sweep.start), int(sweep.end), log=log), {})
    return Domain(FloatDistribution(float(sweep.start), float(sweep.end), log=log), {})


def _category(element: Any) -> ParameterValue:
    """What Optuna stores for a choice: scalars as they are, lists and mappings by their text."""
    if isinstance(element, QuotedString):
        return element.text
    if element is None or isinstance(element, str | int | float | bool):
        return element
    return _text(element)


def override_text(value: Any) -> str:
    """A plain value as what stands behind `key=` in an override, quoted where Hydra would read it as another value."""
    return _text(value)


def _text(element: Any) -> str:
    """A parsed element as the text of an override."""
    if isinstance(element, list):
        return "[" + ",".join(_text(item) for item in element) + "]"
    if isinstance(element, dict):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in element.items()) + "}"
    if isinstance(element, QuotedString):
        return _text(element.text)
    if isinstance(element, bool) or element is None:
        return json.dumps(element)
    return _string(element) if isinstance(element, str) else repr(element)


def _string(text: str) -> str:
    # Hydra gives quoted and bare text as the same string, but would read '1' and 'null' without quotes as other values.
    plain = PLAIN_TEXT.fullmatch(text) and text.lower() not in NOT_TEXT
    return text if plain else str(QuotedString(text, Quote.single).with_quotes())


def _forms(text: str) -> str:
    """The valid forms for a message, the likeliest first."""
    head = text.split("=", 1)[-1].strip()
    likely = sorted(VALID_FORMS, key=lambda form: -len(_common_prefix(form, head)))
    return f"Valid forms: {', '.join(likely)}"


def _common_prefix(first: str, second: str) -> str:
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    return first[:length]
