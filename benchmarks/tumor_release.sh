#!/usr/bin/env bash
# Everything behind the weights and tables of brain_tumor_mri_segmentation, from nothing: synthetic brains, the fusions by
# two seeds and input fusion as narrow as one encoder of the others, the other networks, Vox2Vox, the tables. About seven
# hours on two CPU cores (two trainings at a time, one core each) and 30 GB of disk.
#
#   bash benchmarks/tumor_release.sh FOLDER [REAL]
#
# FOLDER holds what is made on the way; what is there already is not made again, an interrupted training goes on. REAL: what
# `tumor_real_cases.py` calls --source, to compare with at the end.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
real=${2:+$(cd "$2" && pwd)}
mkdir -p "$1" && cd "$1"
bundle=brain_tumor_mri_segmentation
export OMP_NUM_THREADS=1
once() { [[ -e $1 ]] || "${@:2}"; }

# Brains to train on, others by another seed to test: no anatomy of one is in the other.
once raw/samples.json medbundles samples $bundle --output raw --cases 120 --seed 100
once test_raw/samples.json medbundles samples $bundle --output test_raw --cases 24 --seed 2026
once data/datalist.json medbundles prepare brats --source raw --output data --folds 12 --test_fraction 0
[[ -z $real ]] || once realcases/real/datalist.json python "$repository/benchmarks/tumor_real_cases.py" \
    --source "$real" --output realcases
once test_data/datalist.json medbundles prepare brats --source test_raw --output test_data --folds 1 --test_fraction 1

# Epochs give every fusion about an hour of one core, every other network and UNet beside them about half an hour.
narrow="--networks::UNet::arguments::features 4 --networks::UNet::arguments::channels [8,16,32,64]"
train() {
    [[ -e $1/done ]] && return
    medbundles train $bundle --dataset_dir data --output_dir "$1" --max_epochs "$2" --resume true "${@:3}" > "$1.log" 2>&1
    touch "$1/done"
}
queue=(
    "input_0 30 --fusion input --seed 0"
    "input_1 30 --fusion input --seed 1"
    "feature_0 24 --fusion feature --seed 0"
    "feature_1 24 --fusion feature --seed 1"
    "decision_0 18 --fusion decision --seed 0"
    "decision_1 18 --fusion decision --seed 1"
    "input_narrow 24 --fusion input --seed 0 $narrow"
    "input_half 15 --fusion input --seed 0"
    "BasicUNet 4 --network BasicUNet --fusion input --seed 0"
    "SegResNet 7 --network SegResNet --fusion input --seed 0"
    "SwinUNETR 2 --network SwinUNETR --fusion input --seed 0"
    "vox2vox 12 --overlay vox2vox"
    "vox2vox_plain 16 --overlay vox2vox --adversarial_weight 0"
)
for entry in "${queue[@]}"; do
    # shellcheck disable=SC2086  # words are arguments
    train $entry &
    while (($(jobs -rp | wc -l) >= 2)); do wait -n; done
done
wait

for entry in "${queue[@]}"; do
    run=${entry%% *}
    overlay=(); [[ $run == vox2vox* ]] && overlay=(--overlay vox2vox)
    once "$run.samples/summary.json" medbundles evaluate $bundle "${overlay[@]}" --dataset_dir test_data \
        --weights "$run/model.pt" --output_dir "$run.samples"
    [[ -n $real ]] || continue
    for part in real real_two; do
        once "$run.$part/summary.json" medbundles evaluate $bundle "${overlay[@]}" --dataset_dir "realcases/$part" \
            --weights "$run/model.pt" --output_dir "$run.$part"
    done
done
# Which weights are released is decided by the validation samples of the trainings (see docs/explanation), not by tests.
best=${BEST:-feature_0}
measure() { once "$1.json" python "$repository/benchmarks/tumor_$1.py" --dataset_dir test_data --weights "$best/model.pt" --json "$1.json"; }
measure subsets
measure robustness

models=$repository/models/$bundle
mkdir -p "$models"
cp "$best/model.pt" "$best/model.json" "$models"
python "$repository/benchmarks/to_safetensors.py" "$models/model.pt"
python "$repository/benchmarks/tumor_results.py" --runs "${queue[@]%% *}" --released "$best" \
    --license "Apache-2.0; made from the ICBM152 template, see data_license.txt" \
    --trained_on "120 synthetic brains (medbundles samples, seed 100); no patient's data" --output "$models/results.json"
