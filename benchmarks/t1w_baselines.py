"""What a network of t1w_synthesis adds to two baselines fitted on the same training cases.

    python benchmarks/t1w_baselines.py --dataset_dir DATA --test_dir DATA --weights RUN/model.pt
    python benchmarks/t1w_baselines.py --dataset_dir DATA --test_dir REAL --json result.json

Inverted b0: the mean b0, darkest where it was brightest, its histogram matched to that of the training cases' T1w
inside the brain. Linear regression: of the T1w on all channels, voxel by voxel, fitted on the training cases. Both, and
the network of --weights (the released one by default), are judged on the test part of --test_dir by the figures of
`medbundles evaluate`, with the 95 % intervals of the bootstrap over cases.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor

from medbundles.components.metrics import SynthesisQuality, TissueAgreement
from medbundles.components.transforms import LoadVolumed
from medbundles.io.datalist import Part, listed_channels, records

BUNDLE = "t1w_synthesis"
FIGURES = {name: "quality" for name in ("mae", "psnr", "ssim", "correlation", "sharpness")} | {"tissue_dice": "tissue"}
LEVELS = np.linspace(0, 100, 1001)

Floats = npt.NDArray[np.floating[Any]]
Baseline = Callable[[Floats], Floats]


def load(dataset_dir: Path, part: Part, most: int | None = None) -> list[dict[str, Any]]:
    """Return the cases of a part with image (C, H, W, D), label and mask (1, H, W, D)."""
    reader = LoadVolumed(["image", "label", "mask"])
    found = records(dataset_dir, part)
    return [dict(reader(record)) for record in found[:most]]


def fit_inverted_b0(cases: list[dict[str, Any]], channel: int) -> Baseline:
    """Match the inverted channel's histogram to that of the training cases' T1w."""
    levels = np.mean([np.percentile(_inside(case, "label")[0], LEVELS) for case in cases], axis=0)

    def predict(image: Floats) -> Floats:
        values = -image[channel]
        return np.interp(values, np.percentile(values, LEVELS), levels)

    return predict


def fit_regression(cases: list[dict[str, Any]]) -> Baseline:
    """Fit the T1w to all channels and a constant by least squares, every voxel of the brain alike."""
    size = cases[0]["image"].shape[0] + 1
    normal, right = np.zeros((size, size)), np.zeros(size)
    for case in cases:
        rows = _with_constant(_inside(case, "image").astype(np.float64))
        normal += rows @ rows.T
        right += rows @ _inside(case, "label")[0]
    weights = np.linalg.lstsq(normal, right, rcond=None)[0]
    return lambda image: weights @ _with_constant(image.astype(np.float64))


def judge(cases: list[dict[str, Any]], predict: Baseline) -> dict[str, Any]:
    """Return the summaries of a baseline's predictions."""
    metrics = {"quality": SynthesisQuality(), "tissue": TissueAgreement()}
    for case in cases:
        made = np.zeros(case["label"].shape, np.float32)
        inside = np.asarray(case["mask"])[0] > 0
        made[0][inside] = predict(_inside(case, "image"))
        label = MetaTensor(case["label"].as_tensor(), affine=case["label"].affine, meta={"case": case["case"]})
        for metric in metrics.values():
            metric.update(([torch.from_numpy(made)], [label], [case["mask"]]))
    return {name: metric.summary() for name, metric in metrics.items()}


def evaluate(test_dir: Path, weights: str | None) -> dict[str, Any]:
    """Return the network's summary, by the command itself."""
    with tempfile.TemporaryDirectory() as temporary:
        chosen = ["--weights", weights] if weights else []
        words = ["evaluate", BUNDLE, "--dataset_dir", str(test_dir), "--output_dir", f"{temporary}/run", *chosen]
        subprocess.run([sys.executable, "-m", "medbundles", *words], check=True, stdout=sys.stderr)
        content: dict[str, Any] = json.loads(Path(temporary, "run", "summary.json").read_text(encoding="utf-8"))
        return content


def line(name: str, summary: dict[str, Any]) -> str:
    cells = []
    for figure, metric in FIGURES.items():
        content = summary.get(metric, {})
        value, interval = content.get(figure), content.get("intervals", {}).get(figure)
        around = f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
        cells.append("" if value is None else f"{value:.2f}{around}")
    return f"| {name} | {' | '.join(cells)} |"


def _inside(case: dict[str, Any], key: str) -> Floats:
    """Return the voxels of the brain, (C, n)."""
    return np.asarray(case[key])[:, np.asarray(case["mask"])[0] > 0]


def _with_constant(rows: Floats) -> Floats:
    return np.concatenate([rows, np.ones((1, rows.shape[1]))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="prepared folder the baselines are fitted on")
    parser.add_argument("--test_dir", type=Path, help="prepared folder whose test part is judged; the same by default")
    parser.add_argument("--weights", help="model.pt of a run; the released weights by default")
    parser.add_argument(
        "--cases", type=int, default=20, help="training cases that the baselines are fitted on, at most"
    )
    parser.add_argument("--json", type=Path, help="also write the summaries there")
    options = parser.parse_args()
    if not options.dataset_dir:
        print("no --dataset_dir given: this measurement needs prepared heads (see --help)")
        return
    test_dir = options.test_dir or options.dataset_dir
    training = load(options.dataset_dir, "training", options.cases)
    channel = (listed_channels(options.dataset_dir) or []).index("mean_b0")
    baselines = {"inverted b0": fit_inverted_b0(training, channel), "linear regression": fit_regression(training)}
    del training
    cases = load(test_dir, "testing")
    summaries = {name: judge(cases, predict) for name, predict in baselines.items()}
    summaries["network"] = evaluate(test_dir, options.weights)
    print(f"| on {len(cases)} case(s) | " + " | ".join(FIGURES) + " |\n" + "|---" * (len(FIGURES) + 1) + "|")
    for name, summary in summaries.items():
        print(line(name, summary))
    if options.json:
        options.json.write_text(json.dumps(summaries, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
