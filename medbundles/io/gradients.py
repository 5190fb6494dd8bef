"""The diffusion weighting of each volume of a diffusion MRI: FSL's ``.bval`` and ``.bvec`` files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.errors import DataError, Finding
from medbundles.io.grids import case_name

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class GradientTable:
    """How each volume was weighted.

    Attributes:
        b_values: ``(volumes,)`` in s/mm2.
        directions: ``(volumes, 3)`` in FSL's convention: along the axes of the image's array, the first one mirrored
            where the image's affine has a positive determinant.
    """

    b_values: Floats
    directions: Floats

    def __len__(self) -> int:
        return len(self.b_values)


def gradient_files(image: Path) -> tuple[Path, Path]:
    """Return where the ``.bval`` and ``.bvec`` files of an image are expected: beside it, named like it."""
    stem = case_name(image)
    return image.with_name(f"{stem}.bval"), image.with_name(f"{stem}.bvec")


def read_gradients(b_value_file: Path, b_vector_file: Path) -> GradientTable:
    """Read both files; directions may stand in three rows (FSL) or in three columns.

    Raises:
        DataError: a file is missing (DWI001), holds other than numbers, or their counts differ (DWI002).
    """
    if absent := [path for path in (b_value_file, b_vector_file) if not path.is_file()]:
        message = f"missing; expected {b_value_file.name} and {b_vector_file.name} beside the image"
        fix = "copy both files that the conversion from DICOM wrote"
        raise DataError(findings=[Finding("DWI001", "error", message, fix, file=path.name) for path in absent])
    b_values = _read_numbers(b_value_file).ravel()
    vectors = _read_numbers(b_vector_file)
    if 3 not in vectors.shape:
        raise _unreadable(
            b_vector_file, f"{vectors.shape[0]} rows of {vectors.shape[1]} numbers, expected three of either"
        )
    # Three volumes in three rows: FSL's convention counts.
    directions = vectors.T if len(vectors) == 3 else vectors
    if len(directions) != len(b_values):
        message = f"{len(b_values)} b-values and {len(directions)} directions"
        raise DataError(
            findings=[Finding("DWI002", "error", message, "take both from one scan", file=b_vector_file.name)]
        )
    return GradientTable(b_values, directions)


def _read_numbers(path: Path) -> Floats:
    """Return the numbers of a text file row by row; NaN is a number here, and judged later."""
    try:
        rows = [line.replace(",", " ").split() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        numbers = [[float(word) for word in row] for row in rows if row]
    except (UnicodeDecodeError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not numbers or len({len(row) for row in numbers}) != 1:
        lengths = ", ".join(str(len(row)) for row in numbers) or "no"
        raise _unreadable(path, f"rows of {lengths} numbers")
    return np.array(numbers, dtype=np.float64)


def _unreadable(path: Path, what: str) -> DataError:
    fix = "write plain numbers, separated by spaces"
    return DataError(findings=[Finding("DWI002", "error", f"cannot be read: {what}", fix, file=path.name)])
