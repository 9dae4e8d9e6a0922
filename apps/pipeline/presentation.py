"""What `nines demo` shows at its end: a table in the terminal, `results.json` and `report.html` in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from apps.pipeline.context import Context
from apps.pipeline.generating import read_rows
from apps.pipeline.results import results
from apps.pipeline.stages import Stage, StageRecord, duration
from nines.files import write_json, write_text


def present(context: Context, stages: Sequence[Stage], records: Mapping[str, StageRecord], *, seconds: float) -> None:
    """Write both files, print the table and where everything is.

    Args:
        context: Of the pipeline.
        stages: All stages.
        records: Of every stage.
        seconds: That this call took.
    """
    from rich.console import Console

    from apps.pipeline.page import page
    from apps.pipeline.table import comparison_table

    found = results(context, stages, records)
    write_json(context.root / "results.json", found)
    moment = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    html = page(
        found,
        verdicts=read_rows(context.root / "comparison" / "verdicts.jsonl"),
        ppo=context.root / "ppo",
        samples=context.options.comparison.samples,
        made=f"Made {moment} from {context.root}.",
    )
    write_text(context.root / "report.html", html)
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    console.print(comparison_table(found["policies"]))
    print(f"  stages took {duration(found['seconds'])} in all, {duration(seconds)} of it now")
    for name, path in {
        "report": context.root / "report.html",
        "all figures": context.root / "results.json",
        "all completions": context.root / "comparison",
        "the distilled model": f"path:{context.root / 'ppo' / 'model'}",
        "its learning curves": f"nines tensorboard {context.root / 'ppo'}",
    }.items():
        print(f"  {name:<20} {path}")
