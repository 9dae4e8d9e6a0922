#!/bin/bash
#SBATCH --job-name=nines-train-classifier-1a2b3c4d
#SBATCH --chdir=/data
#SBATCH --output=/data/runs/train/x/slurm-%j.log
#SBATCH --open-mode=append
#SBATCH --time=24:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --signal=B:USR1@120
#SBATCH --requeue

trap '' USR1  # a notice that comes before the command listens would end the job
set -e

exec /env/bin/python -m slurm.supervisor --job runs/train/x/job.json
