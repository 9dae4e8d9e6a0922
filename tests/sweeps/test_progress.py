import io

from rich.console import Console

from nines.run_folder import RunFolder, RunStatus
from sweeps.life_cycle import finish, take
from sweeps.outcome import Outcome
from sweeps.progress import PlainProgress, Snapshot, TerminalProgress, progress_table


def text_of(renderable, width=160):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def half_way(sweep):
    """One trial completed, one that runs at step 40 of 100, one to come."""
    first = take(sweep)
    finish(sweep, first.number, Outcome("completed", (0.75,), {"score": 0.75}))
    second = take(sweep)
    status = RunStatus("running", step=40, total_steps=100, objective=0.61, best_objective=0.64, seconds_left=60.0)
    status.write(RunFolder(second.folder))


def test_the_snapshot_counts_slots_and_knows_the_best(make_sweep):
    sweep = make_sweep(trials=3)
    half_way(sweep)
    snapshot = Snapshot.of(sweep.trials(), sweep.definition, workers=1)
    assert (snapshot.finished, snapshot.total, snapshot.best.number) == (1, 3, 0)
    assert snapshot.seconds_left >= 60.0
    assert snapshot.headline(sweep.definition).startswith("1 of 3 trials · best score 0.7500 (trial 0) · about ")


def test_a_pruned_set_takes_its_repeats_out_of_the_total(make_sweep):
    sweep = make_sweep(trials=2, seeds=3, pruner="median")
    finish(sweep, take(sweep).number, Outcome("pruned"))
    assert Snapshot.of(sweep.trials(), sweep.definition, workers=1).total == 4


def test_the_table_shows_step_objective_best_and_time_left(make_sweep):
    sweep = make_sweep(trials=3)
    half_way(sweep)
    lines = text_of(progress_table(Snapshot.of(sweep.trials(), sweep.definition, workers=1))).splitlines()
    running = next(line for line in lines if "running" in line)
    for part in ("40/100", "0.6100", "0.6400", "1"):
        assert part in running


def test_plain_lines_tell_each_change_once(make_sweep):
    sweep = make_sweep(trials=3)
    console = Console(file=io.StringIO(), width=80)
    progress = PlainProgress(sweep.definition, console)
    progress.update(sweep.trials(), workers=1)
    half_way(sweep)
    for _ in range(3):
        progress.update(sweep.trials(), workers=1)
    lines = console.file.getvalue().splitlines()
    assert sum(line.startswith("trial 0 completed") for line in lines) == 1
    assert sum(line.startswith("trial 1 running  step 40/100") for line in lines) == 1


def test_a_resumed_sweep_does_not_tell_again_what_was_finished(make_sweep):
    sweep = make_sweep(trials=3)
    half_way(sweep)
    console = Console(file=io.StringIO(), width=80)
    PlainProgress(sweep.definition, console).update(sweep.trials(), workers=1)
    assert "trial 0 completed" not in console.file.getvalue()


def test_a_reason_with_brackets_is_shown_as_it_is(make_sweep):
    sweep = make_sweep(trials=1)
    finish(sweep, take(sweep).number, Outcome("failed", reason="IndexError: [/bold] out of range"))
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with TerminalProgress(sweep.definition, console) as progress:
        progress.update(sweep.trials(), workers=1)
        progress.note("worker 0 was [red]killed")
    assert "worker 0 was [red]killed" in console.file.getvalue()
    assert "[/bold] out of range" in console.file.getvalue()
