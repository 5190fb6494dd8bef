#!/usr/bin/env bash
# Everything behind the weights of t1w_synthesis, from nothing to models/: heads, trainings with and without a
# discriminator, the generalization table. About four hours on two CPU cores and 10 GB of disk.
#
#   bash benchmarks/t1w_release.sh FOLDER [REAL]
#
# FOLDER holds what is made on the way; what is there already is not made again. REAL: a BIDS data set or folders with real
# diffusion MRI and T1w, to compare with at the end.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
real=${2:+$(cd "$2" && pwd)}
mkdir -p "$1" && cd "$1"
bundle=t1w_synthesis
models=$repository/models/$bundle
once() { [[ -e $1 ]] || "${@:2}"; }
prepare() { medbundles prepare dwi_t1w --source "$1" --output "$2" --grid 1.5 "${@:3}"; }

# Heads of four scanners to train on, others by another seed to test: no anatomy of one is in the other.
once bids/samples.json medbundles samples $bundle --output bids --cases 40 --seed 100
once test_bids/samples.json medbundles samples $bundle --output test_bids --cases 12 --seed 2026
once data/datalist.json prepare bids data --folds 10 --test_fraction 0
once test_data/datalist.json prepare test_bids test_data --folds 1 --test_fraction 1
[[ -z $real ]] || once real/datalist.json prepare "$real" real --folds 1 --test_fraction 1 --register true

# The same budget with and without a discriminator.
once unet/model.pt medbundles train $bundle --dataset_dir data --output_dir unet --adversarial_weight 0
once gan/model.pt medbundles train $bundle --dataset_dir data --output_dir gan
baselines() { once "$1" python "$repository/benchmarks/t1w_baselines.py" --dataset_dir data "${@:2}" --json "$1"; }
for run in unet gan; do
    baselines samples_$run.json --test_dir test_data --weights $run/model.pt
    [[ -z $real ]] || baselines real_$run.json --test_dir real --weights $run/model.pt
done

mkdir -p "$models"
cp gan/model.pt gan/discriminator.pt gan/model.json "$models"
python "$repository/benchmarks/to_safetensors.py" "$models"/*.pt
others=(); [[ -z $real ]] || others=(--real real_gan.json --real_without_discriminator real_unet.json)
python "$repository/benchmarks/t1w_results.py" --samples samples_gan.json --without_discriminator samples_unet.json \
    "${others[@]}" --license "Apache-2.0; made from the ICBM152 template, see data_license.txt" \
    --trained_on "40 synthetic heads (medbundles samples, seed 100); no patient's data" --output "$models/results.json"

# Each scanner as a data set of its own: trained on north, on south, fine-tuned on three people of east. Nobody of the last
# was scanned at the others; those two have the same people, so that their scanners alone differ. Precision and epochs are
# those of the table in docs/explanation.
for site in north:300 south:300 east:301; do
    seed=${site#*:} site=${site%:*}
    once bids_$site/samples.json medbundles samples $bundle --output bids_$site --cases 12 --seed "$seed" --sites "['$site']"
    once $site/datalist.json prepare bids_$site $site --folds 4 --test_fraction 0
done
medbundles generalize $bundle --first north --second south --target east --output generalization \
    --amp false --max_epochs 20
