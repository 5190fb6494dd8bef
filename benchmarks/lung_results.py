"""Write what released weights reach into their results.json, from the files of the measurements themselves.

    python benchmarks/lung_results.py --summary evaluation/summary.json --real real.json --output results.json \
        --trained_on "200 synthetic chest CTs" --license Apache-2.0

lung_release.sh calls it as its last step.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from support.results import read_json, write_results

RATES = {"1.0": "1 false positive", "2.0": "2 false positives", "4.0": "4 false positives", "8.0": "8 false positives"}


def synthetic(summary: dict[str, Any], command: str) -> dict[str, Any]:
    """Return the entry of an evaluation of held-out sample scans, from its summary.json."""
    luna16, lesions, pixels = summary["luna16"], summary["lesions"], summary["pixels"]
    fixed = lesions["at_fixed_threshold"]
    figures = {
        f"sensitivity at {words} a scan": _figure(luna16["froc"][rate], luna16["intervals"]["froc"][rate])
        for rate, words in RATES.items()
    }
    figures["LUNA16 score"] = _figure(luna16["luna16_score"], luna16["intervals"]["luna16_score"])
    for name, words in (("sensitivity", "sensitivity"), ("false_positives_per_scan", "false positives a scan")):
        figures[f"{words} at the model's own threshold"] = _figure(fixed[name], fixed["intervals"][name])
    groups = luna16["at_fixed_threshold"]["groups"]
    for name, group in groups.items():
        figures[f"sensitivity there, {name} ({group['nodules']})"] = _figure(group["sensitivity"], None)
    figures["mean Dice of the scans with nodules"] = _figure(pixels["dice"], pixels["intervals"]["dice"])
    data = f"{luna16['n']} synthetic scans that nothing was trained or chosen on, {luna16['nodules']} nodules"
    return {"data": data, "command": command, "n": luna16["n"], "figures": figures}


def real(results: list[dict[str, Any]], command: str) -> dict[str, Any]:
    """Return the entry of the real development cases, from the file that lung_real_cases.py --json writes."""
    rows = [
        {
            "case": result["case"],
            "nodule, mm": nodule["diameter_mm"],
            "found": "yes" if nodule["found"] else "no",
            "nearest finding, mm": nodule["nearest_finding_mm"],
            "false positives above it": nodule["false_positives_above_it"],
            "false positives": result["false_positives"],
            "Dice": result["dice"],
        }
        for result in results
        for nodule in result["nodules"]
    ]
    return {"data": "real development cases, never trained on", "command": command, "n": len(results), "rows": rows}


def _figure(value: float, interval: list[float] | None) -> dict[str, Any]:
    return {"value": round(value, 4), "interval": interval and [round(bound, 4) for bound in interval]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summary", type=Path, help="summary.json of `medbundles evaluate`")
    parser.add_argument("--real", type=Path, help="result of lung_real_cases.py --json")
    parser.add_argument("--trained_on", default="", help="which data, in a few words")
    parser.add_argument("--license", default="", help="under which terms the weights may be passed on")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if not (options.summary and options.output):
        print("no --summary and --output given: nothing to collect (see --help)")
        return
    summary = read_json(options.summary)
    command = "medbundles evaluate lung_nodule_ct_segmentation --dataset_dir test_data"
    evaluations = [synthetic(summary, command)]
    if options.real:
        command = "python benchmarks/lung_real_cases.py --case NAME CT MASK MARKED ..."
        evaluations.append(real(read_json(options.real), command))
    write_results(options.output, options.license, options.trained_on, evaluations)


if __name__ == "__main__":
    main()
