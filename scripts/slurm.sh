#!/bin/bash
# A run on a Slurm cluster that outlives its time limit and preemption:
#
#   sbatch [--time=4:00:00 --gres=gpu:1 ...] scripts/slurm.sh CONFIG FOLDER [--KEY VALUE]...
#
# Two minutes before the time limit Slurm sends SIGUSR1; the run is saved at its next step and ends with code 138, and
# the job is put back into the queue. A preempted job Slurm puts back itself. The same command is then repeated: it
# continues the run in FOLDER from its last checkpoint, or says that the run is finished.
# Several GPUs of a node: --gres=gpu:4 and --trainer.devices 4; Lightning starts the other processes. Or one task for
# each, also on several nodes: --nodes=2 --ntasks-per-node=4 and --trainer.num_nodes 2 --trainer.devices 4.
#
#SBATCH --job-name=project
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.out
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=4:00:00
set -u

if [ "$#" -lt 2 ]; then
    echo "usage: sbatch scripts/slurm.sh CONFIG FOLDER [--KEY VALUE]..." >&2
    exit 2
fi
config=$1
folder=$2
shift 2

python=${PYTHON:-}
if [ -z "$python" ]; then
    python=python3
    if [ -x .venv/bin/python ]; then
        python=.venv/bin/python
    fi
fi

# The shell lives on when Slurm signals the whole job, so that it can wait for the run to be saved.
trap : USR1 TERM

if [ "${SLURM_NTASKS:-1}" -eq 1 ]; then
    # Under this name Lightning takes the job for an interactive one, and starts the processes of several devices.
    export SLURM_JOB_NAME=interactive
fi
srun "$python" -m project fit --config "$config" --run "$folder" "$@" &
step=$!
wait "$step"
code=$?
while kill -0 "$step" 2>/dev/null; do # a trapped signal has ended the wait, not the run
    wait "$step"
    code=$?
done

if [ "$code" -eq 138 ]; then
    echo "saved before the time limit; back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
