"""Files of a BIDS data set with T1w and diffusion images."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.io.atomic import write_json, write_text
from medbundles.io.images import write_volume

BIDS_VERSION = "1.10.0"


def subject_name(case: int) -> str:
    """Return the name of a person: ``sub-001`` is the first."""
    return f"sub-{case + 1:03d}"


def write_images(
    root: Path,
    subject: str,
    t1w: tuple[npt.NDArray[Any], npt.NDArray[np.float64]],
    dwi: tuple[npt.NDArray[Any], npt.NDArray[np.float64]],
    gradients: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    sidecars: Mapping[str, Mapping[str, Any]],
) -> list[Path]:
    """Write the files of a person and return their paths.

    Args:
        root: of the data set.
        subject: its name.
        t1w: voxels and affine.
        dwi: voxels ``(X, Y, Z, N)`` and affine.
        gradients: b-values ``(N,)`` and directions ``(N, 3)`` in FSL's convention.
        sidecars: what stands in the JSON files of ``T1w`` and ``dwi``.
    """
    anatomy = root / subject / "anat" / f"{subject}_T1w"
    diffusion = root / subject / "dwi" / f"{subject}_dwi"
    paths = [anatomy.with_suffix(".nii.gz"), anatomy.with_suffix(".json")]
    paths += [diffusion.with_suffix(suffix) for suffix in (".nii.gz", ".json", ".bval", ".bvec")]
    b_values, directions = gradients
    write_volume(paths[0], *t1w, overwrite=True)
    write_json(paths[1], dict(sidecars["T1w"]))
    write_volume(paths[2], *dwi, overwrite=True)
    write_json(paths[3], dict(sidecars["dwi"]))
    write_text(paths[4], " ".join(f"{value:g}" for value in b_values) + "\n")
    rows = (" ".join(f"{value:.6f}" for value in row) for row in directions.T)
    write_text(paths[5], "\n".join(rows) + "\n")
    return paths


def write_description(root: Path, name: str, participants: Iterable[Mapping[str, Any]]) -> None:
    """Write ``dataset_description.json`` and ``participants.tsv``.

    Args:
        root: of the data set.
        name: of the data set.
        participants: one row each, ``participant_id`` first.
    """
    description = {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "raw", "License": "CC0"}
    write_json(root / "dataset_description.json", description)
    rows = list(participants)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(root / "participants.tsv", text.getvalue())
