"""What the checks need to know about a volume's voxels: measured once, kept until the file changes."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.checks.nonfinite import count_nonfinite
from medbundles.errors import EnvironmentFailure, MedbundlesError
from medbundles.io.hashing import sha256_data
from medbundles.io.headers import Geometry
from medbundles.io.images import read_volume
from medbundles.io.metaimage import raw_file
from medbundles.io.sealed import read_sealed, write_sealed
from medbundles.io.user_cache import user_cache

# Raise it whenever VoxelFacts or how it is measured changes: facts of other versions are measured again.
FACTS_VERSION = 2
# A label file with more different values than this is no label file; the first ones are enough to say so.
LARGEST_VALUE_SET = 32
# Air and the emptiest lung lie here in HU. What is darker is padding outside the scanner's field of view.
AIR_RANGE_HU = (-1200.0, -700.0)
# Reading and decompressing leave the interpreter's lock, so threads scale; every one holds a volume in memory.
LARGEST_POOL = 8


@dataclass(frozen=True)
class VoxelFacts:
    """What was measured in a volume.

    Attributes:
        voxels: how many there are.
        nonfinite: how many are NaN or infinite.
        nonfinite_in_tissue: how many of those tissue surrounds (see :mod:`medbundles.checks.nonfinite`).
        minimum: lowest finite value.
        maximum: highest finite value.
        nonzero: how many are not 0.
        air_share: share of voxels between -1200 and -700.
        padding_share: share of voxels below -1200.
        whole: whether all finite values are whole numbers.
        values: the different values when they are whole and at most 32, else the first 32 of them in order.
        many_values: whether there are more values than listed.
        content_sha256: hash of the values as single precision numbers, whatever the file format and compression.
    """

    voxels: int
    nonfinite: int
    nonfinite_in_tissue: int
    minimum: float
    maximum: float
    nonzero: int
    air_share: float
    padding_share: float
    whole: bool
    values: tuple[float, ...]
    many_values: bool
    content_sha256: str


def measure(array: npt.NDArray[Any], modality: str | None = None) -> VoxelFacts:
    """Measure a volume slice by slice.

    Args:
        array: voxels ``(H, W, D)`` or more axes.
        modality: ``CT`` takes the values as HU where NaN voxels are judged.
    """
    digest = hashlib.sha256(str(array.shape).encode())
    nonzero = air = padding = 0
    lowest, highest, whole, many = np.inf, -np.inf, True, False
    values: set[float] = set()
    for index in range(array.shape[-1]):
        # Adding 0 turns -0 into 0; one order of axes and one type make the hash independent of the file format.
        with np.errstate(over="ignore"):
            plane = np.asarray(array[..., index]).astype(np.float32) + np.float32(0)
        digest.update(plane.tobytes(order="F"))
        finite = plane[np.isfinite(plane)] if array.dtype.kind in "fc" else plane.ravel()
        if not finite.size:
            continue
        lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
        nonzero += int(np.count_nonzero(finite))
        air += int(np.count_nonzero((finite >= AIR_RANGE_HU[0]) & (finite <= AIR_RANGE_HU[1])))
        padding += int(np.count_nonzero(finite < AIR_RANGE_HU[0]))
        whole = whole and bool((np.rint(finite) == finite).all())
        if not many:
            values |= set(np.unique(finite)[: LARGEST_VALUE_SET + 1].tolist())
            many = len(values) > LARGEST_VALUE_SET
    nonfinite, in_tissue = count_nonfinite(array, modality)
    return VoxelFacts(
        voxels=array.size,
        nonfinite=nonfinite,
        nonfinite_in_tissue=in_tissue,
        minimum=lowest if np.isfinite(lowest) else 0.0,
        maximum=highest if np.isfinite(highest) else 0.0,
        nonzero=nonzero,
        air_share=air / array.size,
        padding_share=padding / array.size,
        whole=whole,
        values=tuple(sorted(values)[:LARGEST_VALUE_SET]),
        many_values=many,
        content_sha256=digest.hexdigest(),
    )


def facts_of(path: str | os.PathLike[str], modality: str | None = None, geometry: Geometry | None = None) -> VoxelFacts:
    """Return a file's facts, from the user's cache where the file has not changed since they were measured.

    Raises:
        DataError: the file cannot be read (NII001).
    """
    file = Path(path)
    kept = user_cache("checks") / f"{_key(file, modality)}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = read_sealed(kept)
        return VoxelFacts(**content | {"values": tuple(content["values"])})
    # The voxels are the same under either form, so facts do not depend on it.
    facts = measure(read_volume(file, geometry=geometry).array, modality)
    with suppress(OSError, EnvironmentFailure):  # a full or read-only disk costs time later, not the check
        write_sealed(kept, asdict(facts))
    return facts


def facts_of_all(
    paths: Iterable[Path], modality: str | None = None, geometry: Geometry | None = None
) -> dict[Path, VoxelFacts | MedbundlesError]:
    """Measure many files in parallel, with a progress bar on a terminal.

    Returns:
        For every path its facts, or the error that reading it raised.
    """
    unique = list(dict.fromkeys(paths))

    def attempt(path: Path) -> VoxelFacts | MedbundlesError:
        try:
            return facts_of(path, modality, geometry)
        except MedbundlesError as error:
            return error

    with ThreadPoolExecutor(min(LARGEST_POOL, os.cpu_count() or 1)) as pool:
        return dict(zip(unique, _shown(pool.map(attempt, unique), unique), strict=True))


def _shown(results: Iterable[Any], paths: Sequence[Path]) -> Iterable[Any]:
    if not sys.stderr.isatty() or len(paths) < 2:
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, "checking voxels", total=len(paths), console=Console(stderr=True), transient=True)


def _key(file: Path, modality: str | None) -> str:
    raw = raw_file(file) if file.suffix.lower() == ".mhd" else None
    stats = [(str(part.resolve()), part.stat().st_size, part.stat().st_mtime_ns) for part in (file, raw) if part]
    return sha256_data([FACTS_VERSION, modality, stats])
