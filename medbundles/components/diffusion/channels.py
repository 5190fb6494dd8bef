"""Maps of a diffusion MRI by their names: what a network's input may be made of."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.diffusion.tensor import ENTRIES, DiffusionMaps
from medbundles.errors import ConfigurationError, Finding
from medbundles.io.diffusion_channels import CHANNELS, EIGENVALUES, GROUPS, IMAGES

Floats = npt.NDArray[np.floating[Any]]

# Six directions that determine a tensor best (Skare et al., J Magn Reson 147, 2000), along the world's RAS+ axes: the
# volumes synthesized along them are the same whatever directions, order and orientation a scan has. In s/mm2.
SYNTHESIZED_B = 1000.0
SYNTHESIZED_DIRECTIONS = tuple(
    tuple(float(part) / np.hypot(0.91, 0.416) for part in direction)
    for direction in (
        (0.91, 0.416, 0.0),
        (0.0, 0.91, 0.416),
        (0.416, 0.0, 0.91),
        (0.91, -0.416, 0.0),
        (0.0, 0.91, -0.416),
        (-0.416, 0.0, 0.91),
    )
)


def parse_channels(names: Sequence[str]) -> tuple[str, ...]:
    """Return the channels that a list of names stands for, in its order.

    Args:
        names: channels (:data:`CHANNELS`) and groups of them: ``dwi`` (six), ``eigenvalues``, ``v1``, ``v2``, ``v3``
            (six each), ``eigenvectors``.

    Raises:
        ConfigurationError: an unknown or repeated name, or none (CFG001).
    """
    known = (*CHANNELS, *GROUPS)
    findings = [_unknown(name, known) for name in dict.fromkeys(names) if name not in known]
    channels = tuple(channel for name in names for channel in GROUPS.get(name, (name,)))
    twice = sorted({name for name in channels if name in CHANNELS and channels.count(name) > 1})
    findings += [Finding("CFG001", "error", f"channel {name} is named twice", "name each once") for name in twice]
    if not channels:
        findings.append(Finding("CFG001", "error", "no channel", f"choose some of {', '.join(known)}"))
    if findings:
        raise ConfigurationError(findings=findings)
    return channels


def check_channels(names: Sequence[str]) -> list[Finding]:
    """Return no findings: a check of a run (``RunSession``), which raises what :func:`parse_channels` refuses."""
    parse_channels(names)
    return []


def compute_channels(maps: DiffusionMaps, channels: Sequence[str]) -> Floats:
    """Return the channels ``(C, X, Y, Z)`` float32, 0 outside of the mask.

    ``mean_b0``, ``mean_dwi`` and ``dwi1`` to ``dwi6`` are signals in the scanner's units (synthesized with b = 1000
    s/mm2 from the tensor and the mean b0), ``l1`` to ``l3`` and ``md`` diffusivities in um2/ms, ``fa`` and the
    eigenvectors' products have no unit.

    Args:
        maps: of the fit.
        channels: names, see :data:`CHANNELS`.
    """
    values, vectors = _eigen(maps)
    made = np.zeros((len(channels), *maps.mask.shape), np.float32)
    for number, name in enumerate(channels):
        made[number][maps.mask] = _channel(name, maps, values, vectors)
    return made


def flip_left_right(channels: Sequence[str]) -> tuple[list[int], list[float]]:
    """Return how channels change when a volume is mirrored along the world's x axis, besides their voxels.

    Returns:
        which channel takes the place of each, and its factor: mirrored, a volume weighted along (x, y, z) is one
        weighted along (-x, y, z), and the products xy and xz of an eigenvector change their sign.

    Raises:
        ConfigurationError: a channel whose mirror image is not among them (CFG002).
    """
    partners = {"dwi1": "dwi4", "dwi4": "dwi1", "dwi3": "dwi6", "dwi6": "dwi3"}
    absent = [name for name in channels if partners.get(name, name) not in channels]
    if absent:
        message = f"mirroring needs {', '.join(partners[name] for name in absent)} beside {', '.join(absent)}"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, "name both, or switch the flip off")])
    order = [list(channels).index(partners.get(name, name)) for name in channels]
    return order, [-1.0 if name.endswith(("_xy", "_xz")) else 1.0 for name in channels]


def _eigen(maps: DiffusionMaps) -> tuple[Floats, Floats]:
    """Return eigenvalues ``(n, 3)``, the largest first, and eigenvectors ``(n, 3, 3)`` in columns, inside the mask."""
    full = np.zeros((int(maps.mask.sum()), 3, 3))
    for entry, (row, column) in zip(maps.tensor[maps.mask].T, ENTRIES, strict=True):
        full[:, row, column] = full[:, column, row] = entry
    values, vectors = np.linalg.eigh(full)
    return np.clip(values[:, ::-1], 0.0, None), vectors[:, :, ::-1]


def _channel(name: str, maps: DiffusionMaps, values: Floats, vectors: Floats) -> Floats:
    if name in {"mean_b0", "mean_dwi"}:
        return np.asarray(getattr(maps, name)[maps.mask])
    if name in IMAGES:
        direction = np.array(SYNTHESIZED_DIRECTIONS[int(name.removeprefix("dwi")) - 1])
        factors = np.array([direction[i] * direction[j] * (1 if i == j else 2) for i, j in ENTRIES])
        along = maps.tensor[maps.mask] @ factors
        return np.asarray(maps.mean_b0[maps.mask] * np.exp(-SYNTHESIZED_B / 1000.0 * along))
    if name in EIGENVALUES:
        return values[:, EIGENVALUES.index(name)]
    if name == "md":
        return np.asarray(values.mean(axis=1))
    if name == "fa":
        size = np.linalg.norm(values, axis=1)
        spread = np.linalg.norm(values - values.mean(axis=1, keepdims=True), axis=1)
        return np.asarray(np.sqrt(1.5) * np.divide(spread, size, out=np.zeros_like(size), where=size > 0))
    vector = vectors[:, :, int(name[1]) - 1]
    return np.asarray(vector[:, "xyz".index(name[3])] * vector[:, "xyz".index(name[4])])


def _unknown(name: str, known: Sequence[str]) -> Finding:
    close = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {close[0]}?" if close else f"choose some of {', '.join(known)}"
    return Finding("CFG001", "error", f"unknown channel {name!r}", fix)
