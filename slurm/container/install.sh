#!/bin/bash
# Fills the image: called by Dockerfile and by nines.def, so that both make the same one.
# $1: a checkout of the project.
set -euo pipefail
source_folder=$1
recipe=$source_folder/slurm/container

# The base image has CUDA and its compiler, and no Python. Ubuntu 24.04 brings 3.12; the project needs 3.11 or newer.
# Ninja and g++ compile DeepSpeed's operations when a run first uses them; git records the commit of a run.
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    python3 python3-dev python3-venv g++ ninja-build git ca-certificates
rm -rf /var/lib/apt/lists/*

# Ubuntu refuses pip outside an environment of its own.
python3 -m venv /opt/nines
export PATH=/opt/nines/bin:$PATH

# Torch first and alone: its index has the builds for CUDA 13.0, and nothing else that is needed here in the right
# version. Left to pip, DeepSpeed's requirement would take whatever build is the newest.
python -m pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cu130 \
    "$(grep --only-matching '^torch==[0-9.]*' "$recipe/requirements.txt")"
# Operations are compiled on first use, for the GPUs that are there: no GPU is present when an image is built.
DS_BUILD_OPS=0 python -m pip install --no-cache-dir --requirement "$recipe/requirements.txt"
python -m pip install --no-cache-dir --no-deps "$source_folder"

# Fails the build, rather than the first job, when the pieces do not fit.
python -m pip check
python -c 'import torch; assert torch.version.cuda.startswith("13."), torch.version.cuda'
python -c 'import deepspeed, lightning, psycopg, apps.cli'
