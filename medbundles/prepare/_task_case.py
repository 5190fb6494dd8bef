"""One case of a Decathlon task or an nnU-Net data set: its files brought as they are, its fingerprint taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles import __version__
from medbundles.checks.voxels import facts_of
from medbundles.components.regions import bounding_box
from medbundles.components.transforms.orientation import Orientation
from medbundles.io.hashing import sha256_data
from medbundles.io.headers import read_header
from medbundles.io.images import Volume, read_volume
from medbundles.io.raw_dataset import RawCase
from medbundles.prepare._bring import STORED_SUFFIX, bring
from medbundles.prepare._case_result import CaseResult
from medbundles.prepare._workspace import finish_once
from medbundles.prepare.fingerprint import describe_values


@dataclass(frozen=True)
class ImportJob:
    """What one worker needs to know.

    Attributes:
        case: the case and its files.
        channels: channel names in order.
        output: the prepared folder.
    """

    case: RawCase
    channels: tuple[str, ...]
    output: Path


def import_case(job: ImportJob) -> CaseResult:
    """Bring one case into the prepared folder, unless an earlier run has done exactly that."""
    images, label = target_names(job.case, job.channels)
    sources = dict(zip(images, job.case.images, strict=True))
    if job.case.label is not None:
        sources[label] = job.case.label
    hashes = {name: facts_of(path).content_sha256 for name, path in sources.items()}
    key = sha256_data([__version__, hashes, [_affine(path) for path in sources.values()]])
    digests = {"image_sha256": sha256_data([hashes[name] for name in images]), "label_sha256": hashes[label]}
    stored, reused = finish_once(job.output, job.case.name, key, partial(_bring_all, job, sources, digests))
    return CaseResult(job.case.name, (), stored["fingerprint"], reused)


def _bring_all(
    job: ImportJob, sources: Mapping[str, Path], digests: Mapping[str, str]
) -> tuple[dict[str, Any], Iterable[str]]:
    for name, path in sources.items():
        bring(path, job.output / name)
    volumes = [read_volume(path) for path in job.case.images]
    label = None if job.case.label is None else read_volume(job.case.label).array
    return {"fingerprint": {**describe_case(volumes, label, job.channels), **digests}}, sources


def target_names(case: RawCase, channels: tuple[str, ...]) -> tuple[list[str], str]:
    """Return the files of a case in the prepared folder: one image a channel, or one of all, and the label."""
    label = f"labels/{case.name}{STORED_SUFFIX}"
    if len(case.images) == 1:
        return [f"images/{case.name}{STORED_SUFFIX}"], label
    # A channel's name becomes a part of a file's name, so it keeps only what every system allows there.
    names = ["".join(sign if sign.isalnum() else "-" for sign in channel) for channel in channels]
    return [f"images/{case.name}_{name}{STORED_SUFFIX}" for name in names], label


def describe_case(volumes: list[Volume], label: npt.NDArray[Any] | None, channels: tuple[str, ...]) -> dict[str, Any]:
    """Return what a plan needs to know of a case.

    Args:
        volumes: one a channel, or a single one whose fourth axis has them.
        label: ``(H, W, D)`` on the same grid; None where there is none.
        channels: their names.

    Returns:
        ``shape`` and ``spacing_mm`` along the file's axes, ``ras_shape`` and ``ras_spacing_mm`` along right,
        anterior and superior; with a label also ``box_voxels``, the edges of the box around what is labeled along
        those, ``label_ml`` by value, and ``intensities`` of what is labeled by channel.
    """
    first = volumes[0]
    axes = Orientation.of(first.affine).axes
    spacing, shape = [round(edge, 6) for edge in first.spacing], list(first.array.shape[:3])
    entry: dict[str, Any] = {
        "shape": shape,
        "spacing_mm": spacing,
        "ras_shape": [shape[axis] for axis in axes],
        "ras_spacing_mm": [spacing[axis] for axis in axes],
    }
    if label is None:
        return entry
    foreground = label > 0
    box = bounding_box(foreground)
    edges = [0, 0, 0] if box is None else [part.stop - part.start for part in box]
    values, counts = np.unique(label[foreground], return_counts=True)
    milliliters = float(np.prod(spacing)) / 1000
    return entry | {
        "box_voxels": [edges[axis] for axis in axes],
        "label_ml": {
            f"{value:g}": round(int(count) * milliliters, 4) for value, count in zip(values, counts, strict=True)
        },
        "intensities": {
            name: describe_values(values[foreground].astype(np.float64))
            for name, values in zip(channels, _channels(volumes), strict=True)
        },
    }


def _channels(volumes: list[Volume]) -> list[npt.NDArray[Any]]:
    """Return one array a channel ``(H, W, D)``."""
    if len(volumes) > 1 or volumes[0].array.ndim == 3:
        return [volume.array for volume in volumes]
    return list(np.moveaxis(volumes[0].array, 3, 0))


def _affine(path: Path) -> list[list[float]]:
    return [[round(float(value), 4) for value in row] for row in read_header(path).affine]
