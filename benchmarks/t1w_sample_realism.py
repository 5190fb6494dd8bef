"""Where synthetic heads differ from real ones: diffusion, contrast and pictures side by side.

    python benchmarks/t1w_sample_realism.py --samples DATA --real REAL --output realism

Both are folders made by `medbundles prepare dwi_t1w` with the channels mean_b0, mean_dwi, l1, l2 and l3 and the same
grid. Prints a table: one row a measure, the value of every real scan, and the 5th, 50th and 95th percentile of the
samples; writes it (``table.md``) with a sheet of slices (``sheet.png``) and histograms of mean diffusivity, fractional
anisotropy and T1w into the output folder. Everything is measured inside the brain mask.

The pictures show the real scans: do not publish them unless those may be.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from curves import draw_curves

from medbundles.components.overlay import Picture, sheet, to_gray, to_radiological, write_png
from medbundles.components.transforms import LoadVolumed
from medbundles.errors import DataError
from medbundles.io.datalist import records

CHANNELS = ("mean_b0", "mean_dwi", "l1", "l2", "l3")
BINS = {
    "mean_diffusivity_um2_ms": np.linspace(0, 3.5, 71),
    "fractional_anisotropy": np.linspace(0, 1, 51),
    "t1w_z_units": np.linspace(-4, 3, 71),
}
# Black and white of the sheet's columns.
WINDOWS = {"mean b0": (-1.5, 3.0), "mean DWI": (-3.0, 2.5), "MD": (0.0, 3.0), "FA": (0.0, 0.9), "T1w": (-3.0, 2.0)}
SHOWN_SAMPLES = 4
LEVELS = (0.5, 0.72)

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Head:
    """A prepared case: volumes ``(H, W, D)`` by name, the brain, and the affine."""

    name: str
    volumes: dict[str, Floats]
    mask: npt.NDArray[np.bool_]
    affine: npt.NDArray[np.float64]

    def inside(self, name: str) -> Floats:
        return self.volumes[name][self.mask]


def load(record: dict[str, Any]) -> Head:
    """Read a case and compute what the channels tell."""
    item = LoadVolumed(["image", "label", "mask"])(record)
    b0, dwi, *values = (np.asarray(channel) for channel in item["image"])
    mean = sum(values) / 3
    spread = np.sqrt(1.5 * sum((value - mean) ** 2 for value in values))
    size = np.sqrt(sum(value**2 for value in values))
    anisotropy = np.divide(spread, size, out=np.zeros_like(size), where=size > 0)
    volumes = {"mean b0": b0, "mean DWI": dwi, "MD": mean, "FA": anisotropy, "T1w": np.asarray(item["label"][0])}
    return Head(str(record["case"]), volumes, np.asarray(item["mask"][0]) > 0, np.asarray(item["image"].affine))


def listed(folder: Path) -> list[dict[str, Any]]:
    """Return the records of all parts that the folder has."""
    found: list[dict[str, Any]] = []
    for part in ("training", "validation", "testing"):
        with contextlib.suppress(DataError):
            found += records(folder, part, channels=CHANNELS)
    return found


def measure(head: Head) -> dict[str, float]:
    """Return numbers that a network could tell real and synthetic heads apart by."""
    md, fa, t1w = head.inside("MD"), head.inside("FA"), head.inside("T1w")
    voxel = abs(float(np.linalg.det(head.affine[:3, :3])))
    slopes = np.linalg.norm(np.stack(np.gradient(head.volumes["T1w"])), axis=0)[head.mask] / voxel ** (1 / 3)
    return {
        "brain, liters": float(head.mask.sum()) * voxel / 1e6,
        "mean diffusivity, median, um2/ms": float(np.median(md)),
        "share of voxels above 1.5 um2/ms (fluid)": float((md > 1.5).mean()),
        "fractional anisotropy, median": float(np.median(fa)),
        "fractional anisotropy, 95th percentile": float(np.percentile(fa, 95)),
        "skewness of mean b0": _skewness(head.inside("mean b0")),
        "skewness of mean DWI": _skewness(head.inside("mean DWI")),
        "skewness of T1w": _skewness(t1w),
        "correlation of T1w with mean b0": _correlation(t1w, head.inside("mean b0")),
        "correlation of T1w with mean DWI": _correlation(t1w, head.inside("mean DWI")),
        "correlation of T1w with MD": _correlation(t1w, md),
        "correlation of T1w with FA": _correlation(t1w, fa),
        "steepness of T1w, median, z units/mm": float(np.median(slopes)),
    }


def table(real: dict[str, dict[str, float]], samples: list[dict[str, float]]) -> Iterator[str]:
    yield "| measure | " + " | ".join(real) + " | samples p5 | p50 | p95 |"
    yield "|---" * (len(real) + 4) + "|"
    for name in samples[0]:
        quantiles = np.quantile([numbers[name] for numbers in samples], [0.05, 0.5, 0.95])
        cells = [*(numbers[name] for numbers in real.values()), *quantiles]
        yield f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |"


def histograms(head: Head) -> dict[str, Floats]:
    values = zip(BINS, ("MD", "FA", "T1w"), strict=True)
    return {name: np.histogram(head.inside(volume), BINS[name], density=True)[0] for name, volume in values}


def pictures(head: Head) -> list[Picture]:
    """Return axial slices of every volume."""
    turned = to_radiological(head.mask, head.affine)
    filled = np.flatnonzero(turned.any(axis=(0, 1)))
    rows, columns = (np.flatnonzero(turned.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    shown = []
    for level in LEVELS:
        number = int(filled[0] + level * (filled[-1] - filled[0]))
        for name, window in WINDOWS.items():
            volume = np.where(turned, to_radiological(head.volumes[name], head.affine), window[0])
            shown.append(to_gray(volume[(*box, number)], window))
    return shown


def _skewness(values: Floats) -> float:
    centered = values - values.mean()
    return float((centered**3).mean() / values.std() ** 3)


def _correlation(first: Floats, second: Floats) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, help="prepared folder of synthetic heads")
    parser.add_argument("--real", type=Path, help="prepared folder of real heads")
    parser.add_argument("--output", type=Path, default=Path("realism"))
    options = parser.parse_args()
    if not (options.samples and options.real):
        print("skipped: give --samples and --real, both made by `medbundles prepare dwi_t1w`")
        return
    heads = {}
    for kind, folder in (("real", options.real), ("samples", options.samples)):
        heads[kind] = [load(record) for record in listed(folder)]
    lines = list(table({head.name: measure(head) for head in heads["real"]}, [measure(h) for h in heads["samples"]]))
    print("\n".join(lines))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    curves = {kind: {head.name: histograms(head) for head in group} for kind, group in heads.items()}
    for name, edges in BINS.items():
        of_kind = ({case: found[name] for case, found in curves[kind].items()} for kind in ("real", "samples"))
        draw_curves(options.output / f"{name}.png", (edges[:-1] + edges[1:]) / 2, *of_kind, name.replace("_", " "))
    shown = [*heads["real"], *heads["samples"][:SHOWN_SAMPLES]]
    titles = [f"{head.name}: {', '.join(WINDOWS)}, at two levels" for head in shown]
    write_png(options.output / "sheet.png", sheet([pictures(head) for head in shown], titles, tile=200, legend=()))


if __name__ == "__main__":
    main()
