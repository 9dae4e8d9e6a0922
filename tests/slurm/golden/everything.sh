#!/bin/bash
#SBATCH --job-name=nines-sweep-clipping
#SBATCH --comment='sweep clipping'
#SBATCH --chdir='/data/my runs'
#SBATCH --output='/data/my runs/sweep/it'"'"'s/workers/slurm-%A_%a.log'
#SBATCH --open-mode=append
#SBATCH --array=0-15%8
#SBATCH --partition=gpu
#SBATCH --account=lab
#SBATCH --qos=long
#SBATCH --time=1-12:00:00
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=a100:4
#SBATCH --mem=256G
#SBATCH --constraint='a100&nvlink'
#SBATCH --exclude='node[3-4]'
#SBATCH --mail-user=someone@example.org
#SBATCH --mail-type=END,FAIL
#SBATCH --signal=B:USR1@300
#SBATCH --no-requeue
#SBATCH --reservation='night shift'
#SBATCH --exclusive

trap '' USR1  # a notice that comes before the command listens would end the job
set -e
export OMP_NUM_THREADS=8
export NOTE='a '"'"'quoted'"'"' $(word)
#SBATCH --comment=no'
module load cuda/13.0
source "$HOME/miniforge3/bin/activate" nines

exec /env/bin/python -m sweeps.worker --folder '/data/my runs/sweep/it'"'"'s'
