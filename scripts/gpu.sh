#!/bin/bash
# What is worth knowing on a machine with a GPU, in under ten minutes; nobody has run it on one yet:
#
#   scripts/gpu.sh DATA      # a folder with MNIST/raw and cifar-10-batches-py
#
# CIFAR-10 by the fast recipe in bfloat16, with its test accuracy; then whether a run that is killed on the GPU ends with the
# same bits, for a network whose kernels are deterministic (--trainer.deterministic true).
set -euo pipefail
data=${1:?usage: scripts/gpu.sh DATA}
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
python -m project profile --config configs/cifar_fast.yaml --data.root "$data" --steps 50 --output "$runs/profile.png"
time python -m project fit --config configs/cifar_94.yaml --data.root "$data" --trainer.precision bf16-mixed --run.report false \
    --run "$runs/cifar"
python -m project test --ckpt_path "$runs/cifar" --model.mirrored true
python -m tests.engine.runs.kills --runs 3 -- fit --config configs/lenet.yaml --data MNIST --data.root "$data" \
    --trainer.max_epochs 1 --trainer.deterministic true
