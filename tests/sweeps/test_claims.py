import dataclasses
import os
import subprocess
import sys

from sweeps.claims import Claim


def test_my_own_claim_lives_and_survives_the_storage():
    mine = Claim.mine()
    assert mine.alive()
    assert mine.here()
    assert Claim.read(mine.as_mapping()) == mine


def test_a_pid_used_again_is_not_the_process_that_claimed():
    assert not dataclasses.replace(Claim.mine(), started="12345").alive()


def test_a_claim_from_before_a_reboot_is_dead():
    assert not dataclasses.replace(Claim.mine(), boot="an earlier one").alive()


def test_a_process_that_ended_is_dead_even_while_nobody_has_waited_for_it():
    process = subprocess.Popen(
        [sys.executable, "-c", "from sweeps.claims import Claim; print(Claim.mine().as_mapping())"],
        stdout=subprocess.PIPE,
        text=True,
    )
    claim = Claim.read(eval(process.stdout.read()))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not claim.alive()
    process.wait()
    process.stdout.close()
    assert not claim.alive()


def test_a_claim_of_another_machine_counts_as_alive():
    other = dataclasses.replace(Claim.mine(), host="elsewhere", pid=1, started="0")
    assert other.alive()
    assert not other.here()


def test_a_claim_from_before_jobs_were_known_reads_as_one_outside_of_them():
    old = {"host": "h", "boot": "b", "pid": 1, "started": "2"}
    assert Claim.read(old) == Claim("h", "b", 1, "2")


def test_a_claim_of_a_job_is_the_schedulers_to_judge_even_on_this_machine():
    claim = dataclasses.replace(Claim.mine(job="7_1", restarts=2), pid=2**22 + 1)
    assert Claim.read(claim.as_mapping()) == claim
    assert not claim.here()
    assert claim.alive()


def test_the_same_place_is_the_same_slot_of_the_same_job_whatever_process():
    mine = Claim.mine(job="7_1", restarts=1)
    before = dataclasses.replace(mine, host="elsewhere", pid=1, restarts=0, token="x")
    assert mine.same_place(before)
    assert not mine.same_place(dataclasses.replace(before, slot=1))
    assert not mine.same_place(dataclasses.replace(before, job="7_2"))
    assert not Claim.mine().same_place(Claim.mine()), "outside of jobs nothing comes back"
