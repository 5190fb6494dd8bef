"""Where synthetic chest CTs differ from real ones: density, noise, dense structures, and pictures side by side.

    python benchmarks/lung_sample_realism.py ct.nii.gz another.nrrd --output realism --cases 12

Prints a table: one row a measure, the value of every real scan, and the 5th, 50th and 95th percentile of the samples.
Writes it with all values (``table.md``, ``measures.json``) and pictures into the output folder: sheets of slices at the
same levels, scale and window, histograms of the lungs' HU and autocorrelations of the noise. The last rows are
Wasserstein distances in HU between a real scan's histogram and those of the samples: the pooled one and the nearest.

The pictures show the given scans: do not publish them unless those may be. Scans that do not exist are left out with a
line; without any, nothing is measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from curves import draw_curves
from realism.noise import LAGS_MM, measure_noise
from realism.pictures import WINDOWS, draw_sheet
from realism.structures import HU_BINS, measure_densities, measure_structures
from realism.volumes import Chest, real_chest, sample_chest
from scipy.stats import wasserstein_distance

CENTERS = (HU_BINS[:-1] + HU_BINS[1:]) / 2
SHOWN_SAMPLES = 6


@dataclass(frozen=True)
class Measures:
    """What was measured in one scan: numbers by name, the histogram of HU, autocorrelations by tissue."""

    numbers: dict[str, float]
    histogram: npt.NDArray[np.float64]
    correlations: dict[str, npt.NDArray[np.float64]]


def measure(chest: Chest) -> Measures:
    noise, curves = measure_noise(chest)
    densities, histogram = measure_densities(chest)
    return Measures(noise | densities | measure_structures(chest), histogram, curves)


def distances(real: Measures, samples: Sequence[Measures]) -> dict[str, float]:
    """Return Wasserstein distances in HU from a real histogram to the pooled and to the nearest of the samples."""

    def distance(histogram: npt.NDArray[np.float64]) -> float:
        return float(wasserstein_distance(CENTERS, CENTERS, real.histogram, histogram))

    pooled = np.mean([sample.histogram for sample in samples], axis=0)
    nearest = min(distance(sample.histogram) for sample in samples)
    return {"HU distance, samples pooled": distance(pooled), "HU distance, nearest sample": nearest}


def table(real: dict[str, Measures], samples: Sequence[Measures]) -> Iterator[str]:
    yield "| measure | " + " | ".join(real) + " | samples p5 | p50 | p95 | real inside |"
    yield "|---" * (len(real) + 5) + "|"
    for name in next(iter(real.values())).numbers:
        values = [found.numbers.get(name, np.nan) for found in real.values()]
        drawn = [found.numbers[name] for found in samples if np.isfinite(found.numbers.get(name, np.nan))]
        low, middle, high = np.quantile(drawn, [0.05, 0.5, 0.95]) if drawn else (np.nan,) * 3
        inside = sum(low <= value <= high for value in values)
        cells = [f"{value:.3g}" for value in (*values, low, middle, high)]
        yield f"| {name} | " + " | ".join(cells) + f" | {inside} of {np.isfinite(values).sum()} |"
    rows = [distances(found, samples) for found in real.values()]
    for name in rows[0]:
        yield f"| {name} | " + " | ".join(f"{row[name]:.1f}" for row in rows) + " | | | | |"


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, nargs="*", help="real chest CTs: NIfTI, NRRD or MetaImage")
    parser.add_argument("--output", type=Path, default=Path("realism"))
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--matrix", type=int, default=384)
    options = parser.parse_args()
    paths = []
    for path in options.real:
        paths += [path] if path.is_file() else []
        if not path.is_file():
            print(f"skipped {path}: no such file")
    if not paths:
        print("skipped: give real chest CTs to compare with")
        return
    run(paths, options.output, options.seed, options.cases, options.matrix)


def run(paths: Sequence[Path], output: Path, seed: int, cases: int, matrix: int) -> None:
    output.mkdir(parents=True, exist_ok=True)
    shown = [real_chest(path) for path in paths]
    real = {chest.name: measure(chest) for chest in shown}
    samples = {}
    for case in range(cases):
        chest, _ = sample_chest(seed, case, matrix)
        samples[chest.name] = measure(chest)
        shown += [chest] if case < SHOWN_SAMPLES else []
    lines = list(table(real, list(samples.values())))
    print("\n".join(lines))
    (output / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    numbers = {name: found.numbers for name, found in (real | samples).items()}
    (output / "measures.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    for name, window in WINDOWS.items():
        draw_sheet(shown, output / f"sheet_{name.replace(' ', '_')}.png", window)
    draw_sheet(shown, output / "sheet_zoomed.png", WINDOWS["lung"], zoomed=True)
    draw_curves(output / "lung_hu.png", CENTERS, *(_histograms(group) for group in (real, samples)), "HU")
    for tissue in ("tissue", "lung"):
        curves = [{k: v.correlations[tissue] for k, v in group.items() if tissue in v.correlations}
                  for group in (real, samples)]  # fmt: skip
        draw_curves(output / f"noise_{tissue}.png", LAGS_MM, *curves, "mm")


def _histograms(group: dict[str, Measures]) -> dict[str, npt.NDArray[np.float64]]:
    return {name: found.histogram for name, found in group.items()}


if __name__ == "__main__":
    main()
