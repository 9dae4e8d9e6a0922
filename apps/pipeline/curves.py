"""The learning curves of a run, out of the event files that TensorBoard reads."""

from __future__ import annotations

from pathlib import Path

Curve = list[tuple[int, float]]


def read_curves(folder: Path, names: tuple[str, ...]) -> dict[str, Curve]:
    """By name, (step, value) of each scalar that was logged under it, in the order of steps.

    A run that was resumed has logged some steps twice; the later value counts. A name that was never logged is absent.

    Args:
        folder: `tensorboard/` of a run folder, with event files at any depth.
        names: Exact names, or beginnings that end in `/`.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, dict[int, tuple[float, float]]] = {}
    for file in sorted(folder.rglob("events.out.tfevents.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        for name in events.Tags()["scalars"]:
            if any(name == wanted or (wanted.endswith("/") and name.startswith(wanted)) for wanted in names):
                values = found.setdefault(name, {})
                for event in events.Scalars(name):
                    if event.step not in values or values[event.step][0] <= event.wall_time:
                        values[event.step] = (event.wall_time, event.value)
    return {name: [(step, values[step][1]) for step in sorted(values)] for name, values in found.items()}
