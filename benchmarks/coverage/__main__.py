"""All coverage simulations in full: `python -m benchmarks.coverage --replications 10000`.

Prints a Markdown table and exits with 1 if a promise is refuted. Each module of this package that defines `REGIMES`
takes part.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import pkgutil
import sys
import time
from pathlib import Path

import benchmarks.coverage
from benchmarks.coverage.simulation import Regime, Verdict, judge

HEADER = "| regime | truth | coverage | mean width | bias (in standard errors) | |\n|---|---|---|---|---|---|"


def every_regime(topics: list[str] | None = None) -> dict[str, tuple[Regime, ...]]:
    """The regimes of each module of this package, by its name."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.coverage.__path__)]
    modules = {
        name: importlib.import_module(f"benchmarks.coverage.{name}") for name in names if not name.startswith("_")
    }
    found = {name: module.REGIMES for name, module in modules.items() if hasattr(module, "REGIMES")}
    for topic in topics or []:
        if topic not in found:
            raise SystemExit(f"there is no topic {topic!r}; choose from {', '.join(found)}")
    return {name: regimes for name, regimes in found.items() if not topics or name in topics}


def line(regime: Regime, verdict: Verdict) -> str:
    """One row of the table."""
    said = "" if regime.holds else "known to dip"
    return (
        f"| {verdict.regime} | {verdict.mean_truth:.3g} | {100 * verdict.coverage:.2f} % | {verdict.mean_width:.3g} "
        f"| {verdict.bias:.2g} ({verdict.bias_z:+.1f}) | {said if verdict.passed else 'REFUTED'} |"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run and print; 1 if a promise is refuted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topics", nargs="*", help="modules of benchmarks/coverage; all by default")
    parser.add_argument("--replications", type=int, default=10_000, help="of each regime (10000)")
    parser.add_argument("--seed", type=int, default=0, help="of every regime (0)")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    options = parser.parse_args(arguments)
    if options.replications < 2:
        parser.error("--replications must be at least 2")
    verdicts: dict[str, list[Verdict]] = {}
    for topic, regimes in every_regime(options.topics).items():
        started = time.perf_counter()
        print(f"\n{topic}: {options.replications} replications, seed {options.seed}\n\n{HEADER}", flush=True)
        verdicts[topic] = []
        for regime in regimes:
            verdict = judge(regime, replications=options.replications, seed=options.seed)
            verdicts[topic].append(verdict)
            print(line(regime, verdict), flush=True)
        print(f"\n{time.perf_counter() - started:.0f} s", flush=True)
    if options.json:
        found = {topic: [dataclasses.asdict(one) for one in several] for topic, several in verdicts.items()}
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return int(not all(one.passed for several in verdicts.values() for one in several))


if __name__ == "__main__":
    sys.exit(main())
