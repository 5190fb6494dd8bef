"""Small brains with tumors: a prepared folder for training, and raw cases for inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbundles.io.datalist import write_datalist
from medbundles.io.images import write_volume

CONTRASTS = ("t1n", "t1c", "t2w", "t2f")
SHAPE = (44, 52, 38)
# Voxels of 2 mm; left and posterior are the axes' directions, as BraTS stores them.
AFFINE = np.array([[-2.0, 0, 0, 44], [0, -2.0, 0, 52], [0, 0, 2.0, -38], [0, 0, 0, 1.0]])
# What each label adds to the brain's intensity in each contrast: necrotic core, edema, enhancing tumor.
LOOK = {"t1n": (-40, -20, -10), "t1c": (-40, -20, 120), "t2w": (90, 70, 30), "t2f": (30, 90, 40)}


def brain() -> npt.NDArray[np.bool_]:
    """Return an ellipsoid."""
    places = (np.indices(SHAPE).transpose(1, 2, 3, 0) - (np.array(SHAPE) - 1) / 2) / (np.array(SHAPE) * 0.42)
    return np.asarray((places**2).sum(axis=-1) < 1)


def tumor(generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return a ball of edema around a rim around a core, somewhere in the brain."""
    center = np.array(SHAPE) / 2 + generator.uniform(-6, 6, 3)
    distance = np.linalg.norm(np.indices(SHAPE).transpose(1, 2, 3, 0) - center, axis=-1)
    label = np.zeros(SHAPE, np.uint8)
    for value, radius in ((2, 9.0), (3, 6.0), (1, 3.5)):
        label[distance < radius] = value
    return label


def contrasts(generator: np.random.Generator, label: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.int16]]:
    """Return each contrast of the brain with this tumor, 0 outside."""
    images = {}
    for name, added in LOOK.items():
        values = 200 + np.take(np.array([0, *added]), label) + generator.normal(0, 8, SHAPE)
        images[name] = np.where(brain(), np.maximum(values, 1), 0).astype(np.int16)
    return images


def write_prepared(folder: Path, training: int = 4, testing: int = 2, names: tuple[str, ...] = CONTRASTS) -> Path:
    """Write what `medbundles prepare brats` writes, folds dealt out by turns; the last test case has no tumor."""
    generator = np.random.default_rng(0)
    records = []
    for number in range(training + testing):
        case = f"brain{number}"
        label = tumor(generator)
        if number == training + testing - 1:
            label[:] = 0
        for name, values in contrasts(generator, label).items():
            if name in names:
                write_volume(folder / "images" / f"{case}_{name}.nii.gz", values, AFFINE)
        write_volume(folder / "labels" / f"{case}.nii.gz", label, AFFINE)
        images = [f"images/{case}_{name}.nii.gz" for name in names]
        record = {"image": images, "label": f"labels/{case}.nii.gz", "case": case, "subject": case}
        records.append(record | ({"fold": number % 2} if number < training else {}))
    write_datalist(folder, records[:training], records[training:], names)
    return folder


def write_raw(folder: Path, names: tuple[str, ...] = CONTRASTS, seed: int = 7) -> npt.NDArray[np.uint8]:
    """Write a raw case's contrasts into a folder; return its label."""
    generator = np.random.default_rng(seed)
    label = tumor(generator)
    for name, values in contrasts(generator, label).items():
        if name in names:
            write_volume(folder / f"{folder.name}_{name}.nii.gz", values, AFFINE)
    return label
