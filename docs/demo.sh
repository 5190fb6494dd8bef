#!/usr/bin/env bash
# The main job, from nothing: synthetic chest CT scans, training, evaluation, nodules found in held-out scans.
# `make demo` runs it; in an environment of your own: bash docs/demo.sh FOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${1:-demo}
bundle=lung_nodule_ct_segmentation
step() { printf '\n== %s\n' "$*"; }

step "1 of 5: sample scans in the layout of LUNA16"
medbundles samples "$bundle" --output "$folder/luna16" --cases 24

step "2 of 5: images, masks, a data list with a test part that training never sees"
medbundles prepare luna16 --source "$folder/luna16" --output "$folder/data" --folds 4 --overwrite true

step "3 of 5: training"
python -m monai.bundle run training --config_file "bundles/$bundle/configs/train.yaml" \
    --dataset_dir "$folder/data" --output_dir "$folder/run" --overwrite True \
    --max_epochs 14

step "4 of 5: evaluation on the test part"
medbundles evaluate "$bundle" --dataset_dir "$folder/data" --weights "$folder/run/model.pt" \
    --output_dir "$folder/evaluation" --overwrite true

step "5 of 5: nodules in the scans of the test part"
medbundles infer "$bundle" --dataset_dir "$folder/data" --weights "$folder/run/model.pt" \
    --output_dir "$folder/predictions" --overwrite true

step "done; the evaluation's figures"
python - "$folder/evaluation/summary.json" <<'PYTHON'
import json, sys

summary = json.load(open(sys.argv[1]))
lesions, pixels = summary["lesions"], summary["pixels"]
fixed = lesions["at_fixed_threshold"]
print(f"{lesions['lesions']} nodules in {lesions['n']} scans, mean Dice {pixels['dice']:.2f}")
print(f"at the threshold fixed in training, as infer uses it: sensitivity {fixed['sensitivity']:.2f}, "
      f"{fixed['false_positives_per_scan']:.1f} false positives a scan")
print(f"at the threshold that gives {lesions['false_positive_budget']:g} false positives a scan here: "
      f"sensitivity {lesions['sensitivity']:.2f}")
PYTHON

step "look at"
find "$folder/run" "$folder/evaluation" "$folder/predictions" \( -name '*.png' -o -name 'nodules.csv' -o -name 'metrics.csv' -o -name 'summary.json' \) | sort
