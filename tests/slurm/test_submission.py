from slurm.submission import submission_environment

SCRIPT = "#!/bin/bash\n#SBATCH --partition=gpu\n#SBATCH --time=1:00\n#SBATCH --mem=4G\n#SBATCH --requeue\n\ntrue\n"


def test_a_variable_cannot_overrule_the_script() -> None:
    environ = dict.fromkeys(
        ["SBATCH_PARTITION", "SBATCH_TIMELIMIT", "SBATCH_MEM_PER_CPU", "SBATCH_MEM_PER_NODE", "SBATCH_NO_REQUEUE"], "x"
    )
    assert submission_environment(SCRIPT, {**environ, "HOME": "/home/me"}) == {"HOME": "/home/me"}


def test_site_defaults_for_what_the_script_leaves_open_stay() -> None:
    environ = {"SBATCH_ACCOUNT": "lab", "SBATCH_QOS": "long"}
    assert submission_environment(SCRIPT, environ) == environ


def test_the_job_around_a_submission_is_not_handed_on() -> None:
    environ = {"SLURM_JOB_ID": "7", "SLURM_NTASKS_PER_NODE": "4", "SLURM_CONF": "/etc/slurm.conf", "PATH": "/bin"}
    assert submission_environment(SCRIPT, environ) == {"SLURM_CONF": "/etc/slurm.conf", "PATH": "/bin"}


def test_text_below_the_directives_is_not_taken_for_one() -> None:
    environ = {"SBATCH_ACCOUNT": "lab"}
    assert submission_environment(f"{SCRIPT}#SBATCH --account=x\n", environ) == environ
