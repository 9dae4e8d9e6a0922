"""`nines doctor`: what this machine and this installation have, what is missing, and how to get it."""

from __future__ import annotations

import argparse

from apps.findings import Finding, Level
from apps.machine import GROUPS

MARKS = {Level.OK: "ok", Level.NOTE: "note", Level.MISSING: "MISSING"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where runs would go."""
    parser.add_argument("--runs", default="runs", metavar="DIR", help="the folder of runs to look at (default: runs)")


def run(arguments: argparse.Namespace) -> int:
    """Print every finding as it is known; the exit code is 1 when something that is needed is missing."""
    missing: list[Finding] = []
    for title, look in GROUPS.items():
        print(title, flush=True)
        for finding in look(arguments.runs):
            print(f"  {MARKS[finding.level]:<8} {finding.name:<22} {finding.value}", flush=True)
            if finding.remedy:
                print(f"  {'':<8} {'':<22} -> {finding.remedy}", flush=True)
            if finding.level is Level.MISSING:
                missing.append(finding)
    if missing:
        print(f"\nmissing: {', '.join(finding.name for finding in missing)}; each line above says how to get it")
        return 1
    print("\nnothing that is needed is missing")
    return 0
