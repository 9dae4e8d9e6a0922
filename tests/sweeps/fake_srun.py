"""Stands in for srun: runs the ranks on this machine, forwards SIGUSR1, kills all when one fails, complains as it does.

As often as the file `refusals` in the working folder says, it finds no nodes. When the file `node_failure` appears
there, it loses one.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    words = sys.argv[1:]
    first = next(index for index, word in enumerate(words) if not word.startswith("-"))
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words[:first])
    refusals = Path("refusals")
    if refusals.exists() and (left := int(refusals.read_text())) > 0:
        refusals.write_text(str(left - 1))
        print("srun: error: Unable to create step for job 7: Requested nodes are busy", file=sys.stderr)
        return 1
    with Path(options["output"]).open("ab") as log:
        tasks = [
            subprocess.Popen(
                words[first:],
                stdout=log,
                stderr=log,
                env={**os.environ, "SLURM_PROCID": str(rank), "SLURM_STEP_ID": "0", "SLURM_NTASKS": options["ntasks"]},
            )
            for rank in range(int(options["ntasks"]))
        ]
    signal.signal(signal.SIGUSR1, lambda number, _: [task.send_signal(number) for task in tasks])
    signal.signal(signal.SIGTERM, lambda *_: [task.kill() for task in tasks])
    worst = 0
    while any(task.poll() is None for task in tasks):
        time.sleep(0.02)
        if Path("node_failure").exists():
            print("srun: error: Node failure on node1", file=sys.stderr)
            for task in tasks:
                task.kill()
            return 0
        for rank, task in enumerate(tasks):
            if (code := task.poll()) and worst == 0:
                worst = 128 - code if code < 0 else code
                print(f"srun: error: node1: task {rank}: Exited with exit code {worst}", file=sys.stderr)
                for other in tasks:
                    other.kill()
    return worst


if __name__ == "__main__":
    sys.exit(main())
