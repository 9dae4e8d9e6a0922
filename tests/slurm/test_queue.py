import pytest

from nines.errors import SchedulerError
from slurm.commands import Finished
from slurm.job_state import state_of
from slurm.queue import IDS_AT_ONCE, JobState, Queue
from tests.fake_slurm import FakeSlurm

# Printed by SLURM 22.05 for the array of `-r --states=all -O ArrayJobID:24,ArrayTaskID:24,…` in slurm/queue.py.
RECORDED = "".join(
    line + "\n"
    for line in (
        f"{'6':24}{'2':24}{'6':24}{'PENDING':24}{'0':12}{'0':12}{'1:00:00':24}{'':200}{'JobArrayTaskLimit':200}",
        f"{'6':24}{'0':24}{'7':24}{'RUNNING':24}{'2':12}{'0':12}{'59:58':24}{'node1':200}{'None':200}",
        f"{'6':24}{'1':24}{'8':24}{'FAILED':24}{'0':12}{'768':12}{'59:58':24}{'node[1-2]':200}{'NonZeroExitCode':200}",
        f"{'9':24}{'N/A':24}{'9':24}{'COMPLETING':24}{'1':12}{'0':12}{'UNLIMITED':24}{'node1':200}"
        f"{'(Nodes required for job are DOWN, DRAINED or reserved)':200}",
    )
)


@pytest.fixture
def slurm() -> FakeSlurm:
    return FakeSlurm()


def submitted(slurm: FakeSlurm, tasks: int | None = None) -> str:
    array = "" if tasks is None else f"#SBATCH --array=0-{tasks - 1}%2\n"
    return Queue(slurm).submit(f"#!/bin/bash\n{array}true\n")


def test_squeues_columns_are_read() -> None:
    queue = Queue(lambda command, **_: Finished(0, RECORDED if command[0] == "squeue" else ""))
    found = queue.look(["6_0", "6_1", "6_2", "9"])
    running, failed, waiting, completing = found.values()
    assert (running.state, running.nodes, running.restarts, running.seconds_left) == (
        JobState.RUNNING,
        "node1",
        2,
        59 * 60 + 58,
    )
    assert (failed.state, failed.exit_code, failed.reason, failed.seconds_left) == (
        JobState.ENDED,
        "3:0",
        "NonZeroExitCode",
        None,
    )
    assert (waiting.state, waiting.nodes, waiting.exit_code) == (JobState.PENDING, "", "")
    assert (completing.state, completing.raw, completing.seconds_left) == (JobState.RUNNING, "COMPLETING", None)
    assert completing.reason.endswith("DRAINED or reserved)")


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        ("PENDING", JobState.PENDING),
        ("REQUEUE_HOLD", JobState.PENDING),
        ("SPECIAL_EXIT", JobState.PENDING),
        ("RUNNING", JobState.RUNNING),
        ("COMPLETING", JobState.RUNNING),
        ("CONFIGURING", JobState.RUNNING),
        ("SUSPENDED", JobState.RUNNING),
        ("A_STATE_OF_A_LATER_RELEASE", JobState.RUNNING),
        ("COMPLETED", JobState.ENDED),
        ("CANCELLED by 1000", JobState.ENDED),
        ("CANCELLED+", JobState.ENDED),
        ("TIMEOUT", JobState.ENDED),
        ("NODE_FAIL", JobState.ENDED),
        ("OUT_OF_MEMORY", JobState.ENDED),
        ("PREEMPTED", JobState.ENDED),
    ],
)
def test_slurms_words_are_sorted_by_whether_the_job_may_come_back(raw: str, state: JobState) -> None:
    assert state_of(raw) is state
    assert state.may_come_back != state.over


def test_who_cannot_be_asked_neither_comes_back_nor_is_over() -> None:
    assert not JobState.UNKNOWN.may_come_back
    assert not JobState.UNKNOWN.over


def test_many_jobs_take_one_question(slurm: FakeSlurm) -> None:
    ids = [submitted(slurm) for _ in range(20)]
    slurm.commands.clear()
    assert len(Queue(slurm).look(ids)) == 20
    assert [command[0] for command in slurm.commands] == ["squeue"]


def test_more_jobs_than_a_command_line_holds_are_asked_in_parts(slurm: FakeSlurm) -> None:
    ids = [str(number) for number in range(1000, 1000 + IDS_AT_ONCE + 1)]
    for job in ids:
        slurm.add(job)
    assert {info.state for info in Queue(slurm).look(ids).values()} == {JobState.RUNNING}
    assert len(slurm.commands) == 2


def test_nothing_to_look_for_asks_nothing(slurm: FakeSlurm) -> None:
    assert Queue(slurm).look([]) == {}
    assert slurm.commands == []


def test_the_accounts_know_the_end_of_a_job_that_the_controller_forgot(slurm: FakeSlurm) -> None:
    job = submitted(slurm)
    slurm.set(job, "TIMEOUT")
    slurm.purge(job)
    info = Queue(slurm).look([job])[job]
    assert (info.state, info.raw) == (JobState.ENDED, "TIMEOUT")


def test_a_forgotten_job_without_accounts_is_gone(slurm: FakeSlurm) -> None:
    job = submitted(slurm)
    slurm.purge(job)
    slurm.accounting = False
    queue = Queue(slurm)
    assert queue.look([job, "999"]) == queue.look([job, "999"])
    assert queue.look([job])[job].state is JobState.GONE
    # That accounting is off was learnt once.
    assert [command[0] for command in slurm.commands].count("sacct") == 1


def test_accounts_that_lag_behind_do_not_bring_a_job_back(slurm: FakeSlurm) -> None:
    job = submitted(slurm)
    slurm.set(job, "RUNNING")
    slurm.purge(job)
    assert Queue(slurm).look([job])[job].state is JobState.GONE


def test_a_controller_that_does_not_answer_leaves_all_unknown(slurm: FakeSlurm) -> None:
    job = submitted(slurm)
    slurm.unreachable = True
    info = Queue(slurm).look([job])[job]
    assert info.state is JobState.UNKNOWN
    assert "does not answer" in info.reason


def test_an_array_lives_while_any_task_does(slurm: FakeSlurm) -> None:
    job = submitted(slurm, tasks=3)
    look = Queue(slurm).look
    assert look([job])[job].state is JobState.PENDING
    slurm.set(f"{job}_1", "RUNNING")
    assert look([job])[job].state is JobState.RUNNING
    slurm.set(job, "COMPLETED")
    slurm.set(f"{job}_2", "PENDING")
    assert look([job])[job].state is JobState.PENDING
    slurm.set(job, "CANCELLED")
    assert look([job])[job].state is JobState.ENDED


def test_the_last_task_is_told_from_its_array_although_it_has_the_same_raw_id(slurm: FakeSlurm) -> None:
    job = submitted(slurm, tasks=2)
    assert slurm.jobs[f"{job}_1"].raw_id == job
    slurm.set(f"{job}_0", "RUNNING")
    slurm.set(f"{job}_1", "FAILED")
    found = Queue(slurm).look([job, f"{job}_1"])
    assert found[f"{job}_1"].state is JobState.ENDED
    assert found[job].state is JobState.RUNNING


def test_a_task_is_found_by_its_raw_id(slurm: FakeSlurm) -> None:
    job = submitted(slurm, tasks=3)
    slurm.set(f"{job}_0", "RUNNING")
    raw_id = slurm.jobs[f"{job}_0"].raw_id
    info = Queue(slurm).look([raw_id])[raw_id]
    assert (info.id, info.state) == (raw_id, JobState.RUNNING)


def test_tasks_come_in_the_order_of_their_numbers(slurm: FakeSlurm) -> None:
    job = submitted(slurm, tasks=11)
    assert [info.id for info in Queue(slurm).array_tasks(job)] == [f"{job}_{number}" for number in range(11)]
    assert Queue(slurm).array_tasks("999") == []


def test_cancelling_passes_over_what_has_ended(slurm: FakeSlurm) -> None:
    job = submitted(slurm, tasks=3)
    slurm.set(f"{job}_0", "COMPLETED")
    slurm.set(f"{job}_1", "RUNNING")
    Queue(slurm).cancel([job, "999"], pending_only=True)
    assert [one.state for one in slurm.jobs.values()] == ["COMPLETED", "RUNNING", "CANCELLED"]
    Queue(slurm).cancel([job])
    assert [one.state for one in slurm.jobs.values()] == ["COMPLETED", "CANCELLED", "CANCELLED"]


def test_nothing_to_cancel_cancels_nothing(slurm: FakeSlurm) -> None:
    # `scancel` without a job would be an error, `scancel --state=PENDING` everybody's.
    Queue(slurm).cancel([], pending_only=True)
    assert slurm.commands == []


def test_signals_go_to_the_ranks_or_to_the_batch_step(slurm: FakeSlurm) -> None:
    slurm.add("7")
    Queue(slurm).signal("7", "USR1", batch=False)
    Queue(slurm).signal("7", "USR1", batch=True)
    assert slurm.signals == [("7", "USR1", False), ("7", "USR1", True)]


def test_a_requeued_job_waits_again(slurm: FakeSlurm) -> None:
    slurm.add("7")
    Queue(slurm).requeue("7")
    info = Queue(slurm).look(["7"])["7"]
    assert (info.state, info.restarts) == (JobState.PENDING, 1)


@pytest.mark.parametrize("job", ["", "7;reboot", "--all", "7_", "7,8", "*", "7\n8"])
def test_what_is_no_job_id_reaches_no_command(slurm: FakeSlurm, job: str) -> None:
    for act in (
        lambda queue: queue.look([job]),
        lambda queue: queue.cancel([job]),
        lambda queue: queue.requeue(job),
        lambda queue: queue.signal(job, "USR1", batch=True),
        lambda queue: queue.array_tasks(job),
    ):
        with pytest.raises(SchedulerError, match="is no job id"):
            act(Queue(slurm))
    assert slurm.commands == []


@pytest.mark.parametrize(
    ("finished", "complaint"),
    [
        (Finished(1, "", "sbatch: error: invalid partition specified: gpuu\nsbatch: error: x"), "invalid partition"),
        (Finished(0, "", ""), "SLURM did not take the job"),
        (Finished(0, "Submitted batch job 7", ""), "SLURM did not take the job"),
    ],
)
def test_a_refused_job_is_told_in_one_line(finished: Finished, complaint: str) -> None:
    with pytest.raises(SchedulerError, match=complaint) as caught:
        Queue(lambda command, **_: finished).submit("#!/bin/bash\n")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("output", ["12\n", "12;cluster\n", "a notice of the site\n12;cluster\n"])
def test_the_id_is_read_from_what_sbatch_prints(output: str) -> None:
    assert Queue(lambda command, **_: Finished(0, output)).submit("#!/bin/bash\n") == "12"


def test_a_refusal_is_not_hidden_by_jobs_that_have_ended() -> None:
    errors = "scancel: error: Kill job error on job id 7: Invalid job id specified\n"
    refused = "scancel: error: Kill job error on job id 8: Access/permission denied\n"
    Queue(lambda command, **_: Finished(1, "", errors)).cancel(["7"])
    with pytest.raises(SchedulerError, match="job id 8: Access/permission denied"):
        Queue(lambda command, **_: Finished(1, "", errors + refused)).cancel(["7", "8"])
