"""Write what released weights of t1w_synthesis reach into their results.json, from the files of the measurements.

    python benchmarks/t1w_results.py --samples samples.json --without_discriminator unet.json --real real.json \
        --output results.json --trained_on "40 synthetic heads" --license Apache-2.0

The three files are those that t1w_baselines.py --json writes; t1w_release.sh calls this as its last step. The same rows
are printed as a table for the documents.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from support.results import print_tables, read_json, write_results

COLUMNS = {
    "mae": ("quality", "MAE, z units", 3),
    "psnr": ("quality", "PSNR, dB", 1),
    "ssim": ("quality", "SSIM", 3),
    "correlation": ("quality", "correlation", 3),
    "sharpness": ("quality", "sharpness", 2),
    "tissue_dice": ("tissue", "tissue Dice", 3),
}


def row(method: str, summary: dict[str, Any]) -> dict[str, str]:
    """Return a method's figures with their 95 % intervals over cases."""
    cells = {"method": method}
    for figure, (metric, title, digits) in COLUMNS.items():
        value, interval = summary[metric][figure], summary[metric]["intervals"].get(figure)
        around = f" ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})" if interval else ""
        cells[title] = "" if value is None else f"{value:.{digits}f}{around}"
    return cells


def evaluation(summaries: dict[str, Any], data: str, command: str, unet: dict[str, Any] | None) -> dict[str, Any]:
    """Return the entry of one set of cases: the released network, the one without a discriminator, the baselines."""
    rows = [row("released weights", summaries["network"])]
    rows += [row("the same, trained without the discriminator", unet["network"])] if unet else []
    rows += [row(name, summary) for name, summary in summaries.items() if name != "network"]
    return {"data": data, "command": command, "n": summaries["network"]["quality"]["n"], "rows": rows}


def read(path: Path | None) -> dict[str, Any] | None:
    return read_json(path) if path else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, help="of held-out sample heads")
    parser.add_argument("--without_discriminator", type=Path, help="the same of the network trained without it")
    parser.add_argument("--real", type=Path, help="of real heads")
    parser.add_argument("--real_without_discriminator", type=Path)
    parser.add_argument("--trained_on", default="", help="which data, in a few words")
    parser.add_argument("--license", default="", help="under which terms the weights may be passed on")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    samples, real = read(options.samples), read(options.real)
    if samples is None or not options.output:
        print("no --samples and --output given: nothing to collect (see --help)")
        return
    command = "python benchmarks/t1w_baselines.py --dataset_dir data --test_dir {} --weights gan/model.pt"
    held_out = "synthetic heads of people and shapes that nothing was trained or chosen on, all four sites"
    unet = read(options.without_discriminator)
    evaluations = [evaluation(samples, held_out, command.format("test_data"), unet)]
    if real:
        unet = read(options.real_without_discriminator)
        kept = "real head, never trained or chosen on; each series of it is a case"
        evaluations.append(evaluation(real, kept, command.format("real"), unet))
    print_tables(evaluations)
    write_results(options.output, options.license, options.trained_on, evaluations)


if __name__ == "__main__":
    main()
