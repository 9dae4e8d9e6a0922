"""Variables of the processes that run trials and runs, here and in jobs."""

from __future__ import annotations

import os

from nines.cache import cache_folder

# Safe path keeps folders named like ours out of the imports; one thread keeps a worker free to fork, and each trial
# sets its own number.
PROCESS_ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
# Told to the job although sbatch hands variables on: the script must mean the same when it is submitted by hand.
HANDED_ON = ("NINES_CONFIG_DIR",)


def job_environment(*, threads: int = 1) -> dict[str, str]:
    """Variables that a job needs, with folders made absolute; no secrets.

    Args:
        threads: CPU threads of a process that does not set its own number.
    """
    handed_on = {name: os.environ[name] for name in HANDED_ON if os.environ.get(name)}
    return {
        **PROCESS_ENVIRONMENT,
        **{name: str(threads) for name in PROCESS_ENVIRONMENT if name.endswith("_NUM_THREADS")},
        "NINES_CACHE": str(cache_folder().absolute()),
        **handed_on,
    }
