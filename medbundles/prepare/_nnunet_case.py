"""One case of an nnU-Net data set: its files linked, copied or converted, its fingerprint taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medbundles import __version__
from medbundles.checks.voxels import facts_of
from medbundles.io.hashing import sha256_data
from medbundles.io.headers import read_header
from medbundles.io.images import read_volume
from medbundles.io.nnunet import RawCase
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
    images, label = target_names(job.case.name, job.channels)
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
    return {"fingerprint": {**_describe(job), **digests}}, sources


def target_names(case: str, channels: tuple[str, ...]) -> tuple[list[str], str]:
    """Return the files of a case in the prepared folder: one image a channel, and the label."""
    if len(channels) == 1:
        return [f"images/{case}{STORED_SUFFIX}"], f"labels/{case}{STORED_SUFFIX}"
    # A channel's name becomes a part of a file's name, so it keeps only what every system allows there.
    names = ["".join(sign if sign.isalnum() else "-" for sign in channel) for channel in channels]
    return [f"images/{case}_{name}{STORED_SUFFIX}" for name in names], f"labels/{case}{STORED_SUFFIX}"


def _describe(job: ImportJob) -> dict[str, Any]:
    volumes = [read_volume(path) for path in job.case.images]
    intensities = {}
    if job.case.label is not None:
        foreground = read_volume(job.case.label).array > 0
        values = [volume.array[foreground] for volume in volumes]
        intensities = {name: describe_values(v) for name, v in zip(job.channels, values, strict=True)}
    return {
        "shape": list(volumes[0].array.shape),
        "spacing_mm": [round(edge, 6) for edge in volumes[0].spacing],
        "intensities": intensities,
    }


def _affine(path: Path) -> list[list[float]]:
    return [[round(float(value), 4) for value in row] for row in read_header(path).affine]
