"""Tiny brains with a tumor in four contrasts, written the way public data sets are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SHAPE = (16, 16, 16)
AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 15], [0, 0, 1.0, 0], [0, 0, 0, 1]])
CONTRASTS = ("t1n", "t1c", "t2w", "t2f")
# Brightness of brain, necrosis, edema and enhancing tumor.
SIGNALS = {
    "t1n": (500, 300, 400, 350),
    "t1c": (520, 310, 420, 900),
    "t2w": (400, 800, 700, 600),
    "t2f": (450, 500, 900, 700),
}
OLD = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
# Numbers of necrosis, edema and enhancing tumor.
NUMBERS = {"2021": (1, 2, 4), "2023": (1, 2, 3), "decathlon": (2, 1, 3)}


def brain() -> Array:
    """Return a ball in the middle of the volume."""
    place = np.indices(SHAPE) - 7.5
    return np.asarray(np.linalg.norm(place, axis=0) < 7)


def tumor(enhancing: bool = True) -> Array:
    """Return 1 necrosis, 2 edema, 3 enhancing tumor."""
    label = np.zeros(SHAPE, np.uint8)
    label[5:11, 5:11, 5:11] = 2
    label[6:10, 6:10, 6:10] = 3 if enhancing else 1
    label[7:9, 7:9, 7:9] = 1
    return label


def contrast(name: str, seed: int = 0, label: Array | None = None) -> Array:
    """Return a contrast as 16-bit numbers, 0 outside of the brain."""
    noise = np.random.default_rng([seed, CONTRASTS.index(name)]).normal(0, 10, SHAPE)
    signal = np.array(SIGNALS[name])[tumor() if label is None else label] + noise
    return np.asarray(np.where(brain(), signal, 0), dtype=np.int16)


def numbered(label: Array, numbering: str) -> Array:
    """Return a tumor in the numbers of another year."""
    table = np.array([0, *NUMBERS[numbering]], np.uint8)
    return np.asarray(table[label])


def write(path: Path, array: Array, affine: Array = AFFINE) -> Path:
    """Write a NIfTI file, by nibabel alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.nifti1.Nifti1Image(array, affine)
    image.set_qform(affine, code=1)
    nibabel.save(image, path)
    return path


def write_brats(
    root: Path,
    case: str,
    seed: int = 0,
    *,
    names: Mapping[str, str] | None = None,
    separator: str = "-",
    numbering: str = "2023",
    ending: str = ".nii.gz",
    label: Array | None = None,
    label_name: str | None = None,
) -> Path:
    """Write a case with BraTS' names of 2023 into a folder of its own, and return the folder.

    Args:
        root: the data set's folder.
        case: the case's name.
        seed: of the noise.
        names: what each contrast is called.
        separator: what stands before that.
        numbering: a key of ``NUMBERS``.
        ending: of the files.
        label: in the numbers of 2023.
        label_name: the label's file, where it is not called ``seg``.
    """
    drawn = tumor() if label is None else label
    for name in CONTRASTS:
        called = (names or {}).get(name, name)
        write(root / case / f"{case}{separator}{called}{ending}", contrast(name, seed, drawn))
    write(root / case / (label_name or f"{case}{separator}seg{ending}"), numbered(drawn, numbering))
    return root / case


def write_old_brats(root: Path, case: str, seed: int = 0, **changes: Any) -> Path:
    """Write a case with the names and numbers of 2015 to 2021."""
    return write_brats(root, case, seed, **{"names": OLD, "separator": "_", "numbering": "2021", **changes})


def write_decathlon(root: Path, cases: int = 3, order: Sequence[str] = ("t2f", "t1n", "t1c", "t2w")) -> Path:
    """Write ``Task01_BrainTumour`` and return its folder."""
    folder = root / "Task01_BrainTumour"
    called = {"t2f": "FLAIR", "t1n": "T1w", "t1c": "t1gd", "t2w": "T2w"}
    for number in range(cases):
        name = f"BRATS_{number:03d}.nii.gz"
        write(folder / "imagesTr" / name, np.stack([contrast(name, number) for name in order], axis=-1))
        write(folder / "labelsTr" / name, numbered(tumor(), "decathlon"))
    write(folder / "imagesTs" / "BRATS_900.nii.gz", np.stack([contrast(name, 900) for name in order], axis=-1))
    content = {
        "modality": {str(place): called[name] for place, name in enumerate(order)},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "numTraining": cases,
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder
