"""The variables with which a batch script is submitted.

sbatch lets SBATCH_* variables win over the script's own lines, and hands all others on to the job, among them those
of the job from whose shell somebody submits. Neither may change what the script says.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping

DIRECTIVE = re.compile(r"#SBATCH --([a-z-]+)(?:=(.*))?")
# sbatch's variable is not the option's name for these.
VARIABLES = {"time": "TIMELIMIT", "array": "ARRAY_INX", "comment": "COMMENT", "mem": "MEM_PER_NODE"}
# Which cluster, and where its configuration lies: they are about the machine, not about the job around.
KEPT = frozenset({"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_TIME_FORMAT"})


def directives(script: str) -> dict[str, str]:
    """The options that a batch script gives to sbatch, without dashes, with their values ("" for a mere switch)."""
    # sbatch stops to look at the first line that is a command.
    head = itertools.takewhile(lambda line: not line or line.startswith("#"), script.splitlines())
    found = [match for line in head if (match := DIRECTIVE.match(line))]
    return {match[1]: " ".join(shlex.split(match[2] or "")) for match in found}


def submission_environment(script: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environ`, without those that would overrule `script` or belong to a job around it.

    An SBATCH_* variable stays when the script says nothing of its option: that is how clusters set site defaults.
    """
    options = directives(script)
    overruling = {f"SBATCH_{VARIABLES.get(option, option.upper().replace('-', '_'))}" for option in options}
    # `--requeue` and `--no-requeue` overrule each other; so do the ways to say how much memory.
    if "requeue" in options or "no-requeue" in options:
        overruling |= {"SBATCH_REQUEUE", "SBATCH_NO_REQUEUE"}
    if "mem" in options:
        overruling |= {"SBATCH_MEM_PER_CPU", "SBATCH_MEM_PER_GPU"}
    return {
        name: value
        for name, value in environ.items()
        if name not in overruling and (name in KEPT or not name.startswith("SLURM_"))
    }
