"""What a trained network finds in real scans with readers' masks: found or not, how far off, how many false positives.

    python benchmarks/lung_real_cases.py --weights RUN/model.pt \
        --case LIDC-IDRI-0314 ct.nii.gz nodule_mask_2of4.nii.gz nodule_votes.nii.gz --case lung1 ct.nrrd label.nrrd

Each case: a name, the CT, the mask of its nodules, and if there is one a mask of everything that any reader marked: a
finding there that is no nodule counts neither way. The bundle is applied with its own thresholds, through the same
command as a user's. A nodule is found when a finding lies nearer to its center than the radius of a ball of its volume
(the rule of LUNA16). "False positives above it" counts those more probable than the finding that hits the nodule, over
all candidates: what finding it costs at the best threshold. Components of the mask below 3 mm count as marked only, as
in LUNA16. Nothing may be trained on these cases or chosen with them.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.metrics.lesion_matching import find_components
from medbundles.components.metrics.luna16_score import Sphere, score_scan
from medbundles.io.grids import case_name
from medbundles.io.images import read_volume

BUNDLE = "lung_nodule_ct_segmentation"
SMALLEST_MM = 3.0
FLIP_XY = np.diag([-1.0, -1.0, 1.0, 1.0])
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Case:
    """A scan, its nodules, and what else a reader marked (None: nothing known)."""

    name: str
    image: Path
    mask: Path
    marked: Path | None


def spheres(mask: Path) -> list[Sphere]:
    """Return every component of a mask as a ball of its volume, its center in LPS mm."""
    volume = read_volume(mask)
    found = find_components(np.asarray(volume.array) > 0)
    voxel = abs(np.linalg.det(volume.affine[:3, :3]))
    centers = np.c_[found.centers, np.ones(len(found))] @ (FLIP_XY @ volume.affine).T
    return [
        Sphere((float(x), float(y), float(z)), float((6 * size * voxel / np.pi) ** (1 / 3)))
        for (x, y, z, _), size in zip(centers, found.sizes, strict=True)
    ]


def apply(case: Case, weights: str | None, output: Path, extra: list[str]) -> tuple[Floats, Floats, Floats]:
    """Run the command; returns the centers of the nodules, and of all candidates with their probabilities."""
    chosen = ["--weights", weights] if weights else []
    command = ["infer", BUNDLE, "--dataset_dir", str(case.image), "--output_dir", str(output), *chosen, *extra]
    subprocess.run([sys.executable, "-m", "medbundles", *command], check=True, capture_output=True)
    nodules = json.loads((output / "nodules.json").read_text())["nodules"]
    with (output / "luna16_results.csv").open() as file:
        rows = list(csv.DictReader(file))
    centers = [[float(row[f"coord{axis}"]) for axis in "XYZ"] for row in rows]
    scores = [float(row["probability"]) for row in rows]
    own = np.array([nodule["center_lps_mm"] for nodule in nodules]).reshape(-1, 3)
    return own, np.array(centers).reshape(-1, 3), np.array(scores)


def dice(case: Case, output: Path) -> float:
    """Return the Dice of the written mask and the nodules' mask."""
    predicted = np.asarray(read_volume(output / f"{case_name(case.image)}_seg.nii.gz").array) > 0
    true = np.asarray(read_volume(case.mask).array) > 0
    return float(2 * (predicted & true).sum() / max(predicted.sum() + true.sum(), 1))


def judge(case: Case, weights: str | None, output: Path, extra: list[str]) -> dict[str, Any]:
    """Apply the bundle to a case and compare."""
    centers, candidates, scores = apply(case, weights, output, extra)
    drawn = spheres(case.mask)
    nodules = [nodule for nodule in drawn if nodule.diameter_mm >= SMALLEST_MM]
    excluded = [*(spheres(case.marked) if case.marked else []), *drawn]
    own = score_scan(centers, np.ones(len(centers)), nodules, excluded)
    everything = score_scan(candidates, scores, nodules, excluded)
    found = []
    for nodule, hit, score in zip(nodules, own.lesion_scores, everything.lesion_scores, strict=True):
        distance = np.linalg.norm(centers - np.array(nodule.center_mm), axis=1).min(initial=np.inf)
        above = int((everything.false_positive_scores > score).sum()) if np.isfinite(score) and score > 0 else None
        found.append(
            {
                "center_lps_mm": [round(value, 2) for value in nodule.center_mm],
                "diameter_mm": round(nodule.diameter_mm, 2),
                "found": bool(hit > 0),
                "nearest_finding_mm": round(float(distance), 1) if np.isfinite(distance) else None,
                "false_positives_above_it": above,
            }
        )
    return {
        "case": case.name,
        "nodules": found,
        "false_positives": len(own.false_positive_scores),
        "neither": own.ignored,
        "dice": round(dice(case, output), 3),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| case | nodule, mm | found | nearest finding, mm | false positives above it | false positives | Dice |",
        "|---" * 7 + "|",
    ]
    for result in results:
        for nodule in result["nodules"]:
            above = nodule["false_positives_above_it"]
            cells = (
                result["case"],
                f"{nodule['diameter_mm']:.1f}",
                "yes" if nodule["found"] else "no",
                "none" if nodule["nearest_finding_mm"] is None else f"{nodule['nearest_finding_mm']:.1f}",
                "no candidate" if above is None else above,
                result["false_positives"],
                f"{result['dice']:.2f}",
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def cases(given: list[list[str]]) -> list[Case]:
    """Read the command line's cases."""
    wrong = [words for words in given if len(words) not in (3, 4)]
    if wrong:
        raise SystemExit(f"--case takes NAME CT MASK [MARKED], found {wrong[0]}")
    return [
        Case(words[0], Path(words[1]), Path(words[2]), Path(words[3]) if len(words) > 3 else None) for words in given
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="model.pt of a run; the released weights by default")
    parser.add_argument("--case", nargs="+", action="append", default=[], metavar="PATH")
    parser.add_argument("--output", type=Path, help="folder for masks and pictures; none are kept by default")
    parser.add_argument("--json", type=Path, help="file for the results")
    options, extra = parser.parse_known_args()
    if not options.case:
        print("no cases given: this measurement needs real scans with readers' masks (see --help)")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.output or Path(scratch)
        results = [judge(case, options.weights, folder / case.name, extra) for case in cases(options.case)]
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
