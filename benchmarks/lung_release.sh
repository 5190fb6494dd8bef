#!/usr/bin/env bash
# Everything behind the released weights of lung_nodule_ct_segmentation, from nothing to models/: about two and a half
# hours on two CPU cores and 30 GB of disk.
#
#   bash benchmarks/lung_release.sh FOLDER [--case NAME CT MASK MARKED ...]
#
# FOLDER holds what is made on the way; what is there already is not made again. --case: real scans to apply the
# weights to at the end (lung_real_cases.py).
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$1" && cd "$1"
shift
bundle=lung_nodule_ct_segmentation
models=$repository/models/$bundle
once() { [[ -e $1 ]] || "${@:2}"; }

# 200 scans to train on, 40 to test, by other seeds: no patient of one is in the other.
once luna16/samples.json medbundles samples $bundle --output luna16 --cases 200 --seed 100
once test_luna16/samples.json medbundles samples $bundle --output test_luna16 --cases 40 --seed 2026
once data/datalist.json medbundles prepare luna16 --source luna16 --output data --folds 10 --test_fraction 0
once test_data/datalist.json medbundles prepare luna16 --source test_luna16 --output test_data --folds 1 --test_fraction 1

# The network, its false positives on the scans it was trained on, and the second look at them.
once run1/model.pt medbundles train $bundle --dataset_dir data --output_dir run1 \
    --max_epochs 60 --samples_per_epoch 8000 --val_interval 10
once data/hard_negatives.csv medbundles mine $bundle --dataset_dir data --weights run1/model.pt --output_dir mined
once run2/model.pt medbundles train $bundle --overlay second_stage --dataset_dir data --weights run1/model.pt \
    --output_dir run2 --max_epochs 8 --samples_per_epoch 4000 --val_interval 4

mkdir -p "$models"
cp run2/model.pt run2/second_stage.pt run2/model.json "$models"
python "$repository/benchmarks/to_safetensors.py" "$models"/*.pt

# What they reach.
once evaluation/summary.json medbundles evaluate $bundle --dataset_dir test_data --output_dir evaluation
[[ $# -eq 0 ]] || once real.json python "$repository/benchmarks/lung_real_cases.py" --output real --json real.json "$@"
real=(); [[ ! -e real.json ]] || real=(--real real.json)
python "$repository/benchmarks/lung_results.py" --summary evaluation/summary.json "${real[@]}" \
    --trained_on "200 synthetic chest CTs (medbundles samples, seed 100); no patient's data" \
    --license Apache-2.0 --output "$models/results.json"
