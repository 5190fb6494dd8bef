"""Where synthetic brain tumors differ from real ones: brightness by region, noise, sharpness, slices side by side.

    python benchmarks/tumor_sample_realism.py --samples RAW --real FOLDER [FOLDER ...] --output realism

RAW is what `medbundles samples brain_tumor_mri_segmentation` writes. A real FOLDER holds one skull-stripped case in the
space of the BraTS challenges: files that end in t1n, t1c, t2w, t2f and seg (`.nii.gz`), labels 1, 2, 3. Prints a table:
one row a measure, the value of every real case, the 5th, 50th and 95th percentile of the samples and whether a real
value lies outside; writes it (``table.md``) with a sheet of slices (``sheet.png``) into the output folder. Brightness
is in standard deviations from the mean of the brain, as networks see it.

The pictures show the real cases: do not publish them unless those may be.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.components.overlay import Picture, sheet, to_gray, to_radiological, write_png
from medbundles.io.images import read_volume
from medbundles.samples.head.template import read_template

CONTRASTS = ("t1n", "t1c", "t2w", "t2f")
LABELS = {1: "core not enhancing", 2: "edema", 3: "enhancing"}
COLORS = {1: (230, 60, 60), 2: (60, 200, 60), 3: (240, 220, 60)}
# So much tumor makes a region's numbers worth comparing, in voxels.
ENOUGH = 300
# Tissue so near to a tumor is not taken for healthy.
AWAY_MM = 6
WINDOW = (0.5, 99.7)

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """A case: z-scored contrasts ``(H, W, D)``, the brain, the label and the affine."""

    name: str
    volumes: dict[str, Floats]
    brain: Mask
    label: npt.NDArray[np.integer[Any]]
    affine: npt.NDArray[np.float64]


def load(folder: Path) -> Case:
    """Read a case's five files."""
    read = {name: read_volume(_only(folder, name)) for name in (*CONTRASTS, "seg")}
    volumes = {name: np.asarray(read[name].array, np.float32) for name in CONTRASTS}
    for name, volume in volumes.items():
        inside = volume > 0
        volumes[name] = np.where(inside, (volume - volume[inside].mean()) / volume[inside].std(), 0)
    brain = np.asarray(read["t1n"].array) > 0
    ends = [np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    box = tuple(slice(low, high + 1) for low, high in ends)
    volumes = {name: volume[box] for name, volume in volumes.items()}
    return Case(
        folder.name, volumes, brain[box], np.asarray(read["seg"].array)[box].astype(np.uint8), read["t1n"].affine
    )


def _only(folder: Path, ending: str) -> Path:
    found = sorted(folder.glob(f"*{ending}.nii.gz"))
    if len(found) != 1:
        raise SystemExit(f"{folder}: {len(found)} files end in {ending}.nii.gz, one is needed")
    return found[0]


@lru_cache(maxsize=1)
def _smooth_template() -> tuple[dict[str, Floats], npt.NDArray[np.float64]]:
    """Return the template's maps without what surrounds the brain, blurred, and the place of their first voxel."""
    template = read_template()
    brain = template.gray + template.white + template.fluid > 0.5
    ends = [np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    box = tuple(slice(low, high + 1) for low, high in ends)
    maps = {name: ndimage.gaussian_filter(getattr(template, name)[box], 1.5) for name in ("gray", "white", "fluid")}
    return maps, template.affine[:3, 3] + [part.start for part in box]


def healthy_brain(case: Case) -> Mask:
    """Return the brain without the tumor and its neighborhood."""
    if not case.label.any():
        return case.brain
    away = ndimage.distance_transform_edt(case.label == 0) > AWAY_MM
    return np.asarray(case.brain & away)


def regions(case: Case, healthy: Mask) -> dict[str, Mask]:
    """Return healthy tissue where the template has it, its box laid over the brain's, and the tumor's parts.

    No tissue map of the real case is needed; all cases are treated alike.
    """
    template, start = _smooth_template()
    shapes = zip(case.brain.shape, template["gray"].shape, strict=True)
    steps = [np.linspace(0, extent - 1, size, dtype=np.float32) for size, extent in shapes]
    # The challenges' first two axes run to the left and the back, the template's to the right and the front.
    steps = [part[::-1] if case.affine[axis, axis] < 0 else part for axis, part in enumerate(steps)]
    places = np.meshgrid(*steps, indexing="ij")
    maps = {name: ndimage.map_coordinates(volume, places, order=1) for name, volume in template.items()}
    x, y, z = (part + offset for part, offset in zip(places, start, strict=True))
    central = (np.abs(x) < 32) & (np.abs(y + 5) < 30) & (np.abs(z - 5) < 14)
    found = {
        "white matter": maps["white"] > 0.9,
        "cortex": (maps["gray"] > 0.75) & ~central & (z > -20),
        "deep gray": (maps["gray"] > 0.75) & central,
        "ventricles": (maps["fluid"] > 0.8) & (np.abs(x) < 30) & (z > 0) & (np.abs(y + 12) < 35),
        "cerebellum": (maps["gray"] > 0.7) & (z < -28) & (y < -45),
    }
    found = {name: mask & healthy for name, mask in found.items()}
    return found | {name: case.label == value for value, name in LABELS.items()}


def measure(case: Case) -> dict[str, float]:
    """Return numbers that a network could tell real and synthetic cases apart by; nan where a region is too small."""
    numbers = {"brain, liters": float(case.brain.sum() / 1e6)}
    numbers |= {f"{name}, ml": float((case.label == value).sum() / 1000) for value, name in LABELS.items()}
    healthy = healthy_brain(case)
    masks = regions(case, healthy)
    for contrast, volume in case.volumes.items():
        for name, mask in masks.items():
            numbers[f"{contrast}: {name}, median"] = _median(volume[mask])
        for name in LABELS.values():
            values = volume[masks[name]]
            spread = np.subtract(*np.quantile(values, [0.9, 0.1])) if len(values) > ENOUGH else np.nan
            numbers[f"{contrast}: {name}, 10th to 90th percentile"] = float(spread)
        for percent in (1, 99, 99.9):
            numbers[f"{contrast}: healthy, percentile {percent:g}"] = float(np.percentile(volume[healthy], percent))
        numbers[f"{contrast}: noise"] = _noise(volume, masks["white matter"])
        slopes = [np.abs(np.diff(volume, axis=axis))[_pairs(healthy, axis)].mean() for axis in range(3)]
        numbers[f"{contrast}: mean step to the next voxel, in plane"] = float((slopes[0] + slopes[1]) / 2)
        numbers[f"{contrast}: step across slices relative to in plane"] = float(2 * slopes[2] / (slopes[0] + slopes[1]))
    tumor = case.label > 0
    if tumor.sum() > ENOUGH:
        numbers["t2f: share of healthy voxels brighter than half of the tumor"] = float(
            (case.volumes["t2f"][healthy] > np.median(case.volumes["t2f"][tumor])).mean()
        )
    return numbers


def _pairs(mask: Mask, axis: int) -> Mask:
    before, after = [slice(None)] * 3, [slice(None)] * 3
    before[axis], after[axis] = slice(None, -1), slice(1, None)
    return mask[tuple(before)] & mask[tuple(after)]


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) > ENOUGH else float("nan")


def _noise(volume: Floats, mask: Mask) -> float:
    """Return the deviation of what a small Gaussian takes away, where white matter is flat."""
    rest = np.abs(volume - ndimage.gaussian_filter(volume, 1.5, truncate=2))[mask]
    return 1.4826 * float(np.median(rest)) if len(rest) > ENOUGH else float("nan")


def table(real: dict[str, dict[str, float]], samples: Sequence[dict[str, float]]) -> Iterator[str]:
    yield "| measure | " + " | ".join(real) + " | samples p5 | p50 | p95 | outside |"
    yield "|---" * (len(real) + 5) + "|"
    names = dict.fromkeys(name for numbers in samples for name in numbers)
    for name in names:
        values = [numbers.get(name, np.nan) for numbers in samples]
        if np.isnan(values).all():
            continue
        low, middle, high = np.nanquantile(values, [0.05, 0.5, 0.95])
        cells = [numbers.get(name, np.nan) for numbers in real.values()]
        outside = "x" if any(cell < low or cell > high for cell in cells) else ""
        yield f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in (*cells, low, middle, high)) + f" | {outside} |"


def pictures(case: Case) -> list[Picture]:
    """Return the four contrasts and the label on FLAIR, in the axial slice with most tumor and in one 20 mm below."""
    turned = {name: to_radiological(volume, case.affine) for name, volume in case.volumes.items()}
    brain, label = to_radiological(case.brain, case.affine), to_radiological(case.label, case.affine)
    rows, columns = (np.flatnonzero(brain.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 2)))
    box = (slice(rows[0], rows[1] + 1), slice(columns[0], columns[1] + 1))
    largest = int(np.argmax((label > 0).sum(axis=(0, 1)))) if label.any() else brain.shape[2] // 2
    shown = []
    for number in (largest, max(largest - 20, 20)):
        for volume in turned.values():
            low, high = np.percentile(volume[brain], WINDOW)
            shown.append(to_gray(np.where(brain, volume, low)[(*box, number)], (low, high)))
        colored = shown[-1].copy()
        for value, color in COLORS.items():
            where = label[(*box, number)] == value
            colored[where] = (colored[where] * 0.5 + np.array(color) * 0.5).astype(np.uint8)
        shown.append(colored)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, help="folder of synthetic cases")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="folders of one real case each")
    parser.add_argument("--output", type=Path, default=Path("realism"))
    parser.add_argument("--cases", type=int, default=30, help="measure so many samples")
    parser.add_argument("--shown", type=int, default=6, help="show so many samples")
    options = parser.parse_args()
    if not options.samples:
        print("skipped: give --samples, a folder of `medbundles samples brain_tumor_mri_segmentation`")
        return
    folders = sorted(path for path in options.samples.iterdir() if path.is_dir())[: options.cases]
    real = {path.name: measure(load(path)) for path in options.real}
    lines = list(table(real, [measure(load(path)) for path in folders]))
    print("\n".join(lines))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shown = [load(path) for path in (*options.real, *folders[: options.shown])]
    titles = [f"{case.name}: {', '.join(CONTRASTS)}, label, at two levels" for case in shown]
    write_png(options.output / "sheet.png", sheet([pictures(case) for case in shown], titles, tile=180, legend=()))


if __name__ == "__main__":
    main()
