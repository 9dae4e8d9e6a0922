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
