#!/bin/bash
# A sweep on many machines: every task of the array runs the same command, and they share the trials through one storage.
#
#   sbatch --array=0-7 scripts/slurm_sweep.sh --config configs/sweeps/tpe.yaml --trials 200 \
#       --storage postgresql://user@host/database
#
# Without a server: --storage /shared/folder/journal.log, on a file system whose locks hold across machines (NFS 4, or
# Lustre mounted with flock). With --run.root on a shared folder, a trial whose machine was lost goes on from its checkpoint
# elsewhere; without, it begins again. The password of a database stands in ~/.pgpass, not in the command.
#SBATCH --job-name=sweep
#SBATCH --cpus-per-task=4
#SBATCH --gres=gpu:1
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@60
#SBATCH --output=sweep-%A-%a.txt

# 60 seconds before its time is up a task is asked to stop: it writes a checkpoint of the trial in hand and leaves it to the
# others, or to the same command later.
exec srun --ntasks=1 python -m project sweep "$@"
