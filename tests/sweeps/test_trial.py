import dataclasses
from pathlib import Path

from sweeps.claims import Claim
from sweeps.trial import TrialJob

JOB = TrialJob(Path("/run"), ("x=1", "y='ä b'"), "journal:/j", "toy", 3, 2, ("score", "cost"))


def test_a_job_comes_back_from_its_file_with_its_claim(tmp_path):
    job = dataclasses.replace(JOB, folder=tmp_path, claim=dataclasses.replace(Claim.mine(job="7_0"), token="t"))
    job.write()
    read = TrialJob.read(job.file)
    assert read == job
    assert (read.claim, read.token) == (job.claim, "t")


def test_a_job_that_nobody_claimed_comes_back_without(tmp_path):
    job = dataclasses.replace(JOB, folder=tmp_path)
    job.write()
    assert TrialJob.read(job.file).claim is None
    assert TrialJob.read(job.file).token == ""


def test_the_same_trial_taken_by_another_is_the_same_job():
    assert dataclasses.replace(JOB, claim=Claim.mine()) == JOB
