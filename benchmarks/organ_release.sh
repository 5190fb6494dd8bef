#!/usr/bin/env bash
# Everything behind the weights of organ_cascade_segmentation: Task04_Hippocampus of the Medical Segmentation Decathlon (CC BY-SA
# 4.0) by its stored split, two trainings side by side for 90 minutes on a CPU core each, their mean, its test.
#
#   bash benchmarks/organ_release.sh FOLDER Task04_Hippocampus
#
# FOLDER holds what is made on the way; what is there already is not made again, an interrupted training goes on.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source=$(cd "$2" && pwd)
mkdir -p "$1" && cd "$1"
bundle=organ_cascade_segmentation
once() { [[ -e $1 ]] || "${@:2}"; }

once data/datalist.json medbundles prepare decathlon --source "$source" --output data \
    --split "$repository/benchmarks/hippocampus_split.json"
train() {
    [[ -e $1/done ]] && return
    OMP_NUM_THREADS=1 medbundles train $bundle --dataset_dir data --output_dir "$1" --max_epochs "$2" --resume true \
        "${@:3}" > "$1.log" 2>&1
    touch "$1/done"
}
train UNet_0 90 --network UNet --seed 0 &
train UNet_1 90 --network UNet --seed 1 &
wait

once both/model.pt medbundles join $bundle --weights "[UNet_0,UNet_1]" --output_dir both
# How the label maps are cleaned is chosen on the validation cases; the test cases are looked at once, at the end.
for run in UNet_0 UNet_1 both; do
    once "$run.validation/summary.json" medbundles evaluate $bundle --dataset_dir data --part validation \
        --choose_cleaning true --weights "$run/model.pt" --output_dir "$run.validation"
    once "$run.testing/summary.json" medbundles evaluate $bundle --dataset_dir data --weights "$run/model.pt" \
        --output_dir "$run.testing"
done

models=$repository/models/$bundle
mkdir -p "$models"
cp both/model.pt both/model.json "$models"
python "$repository/benchmarks/to_safetensors.py" "$models/model.pt"
python "$repository/benchmarks/organ_results.py" --runs UNet_0 UNet_1 both --released both \
    --license "CC BY-SA 4.0; learned from Task04_Hippocampus, M. Antonelli et al., The Medical Segmentation Decathlon" \
    --trained_on "140 T1w MR of the Decathlon's Task04_Hippocampus" --output "$models/results.json"
