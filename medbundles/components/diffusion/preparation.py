"""From raw diffusion MRI to a network's input; the same in preparation and inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.checks.gradients import B0_THRESHOLD, Weighting, check_gradients, listed
from medbundles.checks.nifti import allow_option
from medbundles.checks.verdict import has_errors
from medbundles.components.diffusion.brain_mask import SMALLEST_BRAIN_ML, find_brain
from medbundles.components.diffusion.channels import compute_channels
from medbundles.components.diffusion.coherence import check_coherence
from medbundles.components.diffusion.tensor import DiffusionMaps, fit_tensor
from medbundles.components.resampling import resample
from medbundles.errors import DataError, Finding
from medbundles.io.diffusion_channels import IMAGES
from medbundles.io.gradients import GradientTable
from medbundles.io.grids import Affine, spacing_of, voxel_volume_mm3

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

# Above these shares of the brain a scan is worth a look: voxels without signal, tensors that physics forbids.
MOST_SILENT = 0.01
MOST_UNPHYSICAL = 0.05
# Above this share of either a scan must not be used: six directions with a signal of seven times the noise, which is
# poor, leave a third of the tensors unphysical; a scan whose volumes are no weighted ones nearly all of them.
MOST_USABLE = 0.5


@dataclass(frozen=True)
class PreparedScan:
    """A network's input.

    Attributes:
        channels: ``(C, X, Y, Z)`` float32: signals with mean 0 and standard deviation 1 inside the mask, diffusivities
            in um2/ms, the rest without unit; 0 outside of the mask.
        mask: ``(X, Y, Z)`` the brain.
        affine: of the voxels.
        findings: what is worth saying (DWI003, DWI008, DWI009, DWI011).
    """

    channels: npt.NDArray[np.float32]
    mask: Mask
    affine: Affine
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class FittedScan:
    """A scan's tensors, on its own grid.

    Attributes:
        maps: the fit.
        b0: ``(X, Y, Z)`` mean unweighted volume, outside of the brain as well.
        affine: of the voxels.
        findings: what is worth saying (DWI003, DWI008, DWI009, DWI011).
    """

    maps: DiffusionMaps
    b0: npt.NDArray[np.float32]
    affine: Affine
    findings: tuple[Finding, ...] = ()


def prepare_scan(
    volumes: Floats,
    affine: Affine,
    table: GradientTable,
    channels: Sequence[str],
    *,
    mask: Mask | None = None,
    target: tuple[Affine, tuple[int, int, int]] | None = None,
    b0_threshold: float = B0_THRESHOLD,
    shell: float | None = None,
) -> PreparedScan:
    """Fit the tensor and return the channels: :func:`fit_scan`, then :func:`make_channels`.

    Args:
        volumes: ``(X, Y, Z, N)`` the scan.
        affine: of its voxels, to RAS+ mm.
        table: its weighting.
        channels: names of what to return.
        mask: the brain on the scan's grid; None finds it.
        target: affine and shape of another grid for the result; None keeps the scan's.
        b0_threshold: largest b-value that counts as unweighted, in s/mm2.
        shell: b-value of the shell to take; None takes the one nearest to 1000 s/mm2.

    Raises:
        DataError: the weighting gives no tensor (DWI002 to DWI007, DWI011), or the mask is empty or lies on another
            grid or too small for one (DWI012), or a volume is empty (DWI008).
        EnvironmentFailure: the extra ``dwi`` is not installed.
    """
    fitted = fit_scan(volumes, affine, table, mask=mask, b0_threshold=b0_threshold, shell=shell)
    return make_channels(fitted, channels, target)


def fit_scan(
    volumes: Floats,
    affine: Affine,
    table: GradientTable,
    *,
    mask: Mask | None = None,
    b0_threshold: float = B0_THRESHOLD,
    shell: float | None = None,
) -> FittedScan:
    """Find the brain and fit a tensor to each of its voxels; arguments and errors as of :func:`prepare_scan`."""
    weighting, findings = check_gradients(table, volumes.shape[-1], b0_threshold, shell)
    if weighting is None:
        raise DataError(findings=[finding for finding in findings if has_errors([finding])])
    b0 = volumes[..., weighting.unweighted].mean(axis=-1, dtype=np.float32)
    if mask is None:
        _refuse_empty(volumes, weighting, np.ones(b0.shape, bool))  # no brain is found in nothing
    brain = _brain(b0, affine, mask)
    _refuse_empty(volumes, weighting, brain)
    maps = fit_tensor(volumes, affine, weighting, brain)
    return FittedScan(maps, b0, affine, (*findings, *_noticed(maps), *check_coherence(maps, affine)))


def make_channels(
    fitted: FittedScan, channels: Sequence[str], target: tuple[Affine, tuple[int, int, int]] | None = None
) -> PreparedScan:
    """Return a network's input.

    Args:
        fitted: the scan.
        channels: names of what to return.
        target: affine and shape of another grid for the result; None keeps the scan's.

    Raises:
        DataError: nothing of the brain lies on the other grid (DWI012).
    """
    maps, affine = fitted.maps, fitted.affine
    if target is not None:
        maps, affine = onto_grid(maps, affine, *target), target[0]
    if not maps.mask.any():
        message = f"no voxel of the brain is left on a grid of {_size(affine)} mm, expected some"
        fix = "look at the scan, its mask and the voxel size in its header, which must be in mm"
        raise DataError(findings=[Finding("DWI012", "error", message, fix)])
    made = compute_channels(maps, channels)
    for number, name in enumerate(channels):
        if name in IMAGES:
            made[number] = standardized(made[number], maps.mask)
    return PreparedScan(made, maps.mask, affine, fitted.findings)


def standardized(volume: Floats, mask: Mask) -> npt.NDArray[np.float32]:
    """Return a volume with mean 0 and standard deviation 1 inside a mask, 0 outside.

    A constant volume becomes 0.
    """
    inside = np.asarray(volume[mask], dtype=np.float64)
    result = np.zeros(volume.shape, np.float32)
    if len(inside):
        spread = float(inside.std())
        result[mask] = (inside - inside.mean()) / (spread if spread > 0 else 1.0)
    return result


def onto_grid(maps: DiffusionMaps, affine: Affine, target_affine: Affine, shape: tuple[int, int, int]) -> DiffusionMaps:
    """Return maps on another grid; tensors are interpolated entry by entry, in the world's axes.

    What lies outside of the brain takes no part: voxels at its edge are the mean of the brain they cover.
    """
    share = resample(maps.mask.astype(np.float32), affine, target_affine, shape)
    inside = share >= 0.5

    def moved(volume: Floats) -> npt.NDArray[np.float32]:
        values = resample(np.where(maps.mask, volume, 0.0), affine, target_affine, shape)
        return np.divide(values, share, out=np.zeros(shape, np.float32), where=inside)

    tensor = np.stack([moved(maps.tensor[..., entry]) for entry in range(maps.tensor.shape[-1])], axis=-1)
    return replace(maps, mask=inside, mean_b0=moved(maps.mean_b0), mean_dwi=moved(maps.mean_dwi), tensor=tensor)


def _brain(b0: Floats, affine: Affine, mask: Mask | None) -> Mask:
    if mask is None:
        mask = find_brain(b0, affine)
        fix = "give a mask"
    else:
        fix = "give another mask, or none: it is found then"
    if mask.shape != b0.shape:
        message = f"the mask has {mask.shape} voxels, the diffusion images have {b0.shape}"
        raise DataError(findings=[Finding("DWI012", "error", message, fix)])
    if not mask.any():
        raise DataError(findings=[Finding("DWI012", "error", "the brain mask is empty", fix)])
    voxels = int(mask.sum())
    milliliters = voxels * voxel_volume_mm3(affine) / 1000.0
    if milliliters < SMALLEST_BRAIN_ML:
        found = f"the brain mask has {voxels} voxels of {_size(affine)} mm, {milliliters:.3g} ml"
        message = f"{found}; expected {SMALLEST_BRAIN_ML:g} ml or more"
        raise DataError(findings=[Finding("DWI012", "error", message, f"look at the voxel size, or {fix}")])
    return mask


def _refuse_empty(volumes: Floats, weighting: Weighting, where: Mask) -> None:
    """DWI008: volumes that say nothing, as an interrupted scan that was filled up with zeros has them."""
    used = np.flatnonzero(weighting.unweighted | weighting.weighted)
    empty = [int(number) for number in used if not volumes[..., number][where].any()]
    if empty:
        message = f"no signal in volumes {listed(empty)} (the first is 0): all voxels of the brain are 0"
        fix = "remove these volumes and their entries in the .bval and .bvec files"
        raise DataError(findings=[Finding("DWI008", "error", message, fix)])


def _size(affine: Affine) -> str:
    return " x ".join(f"{edge:.3g}" for edge in spacing_of(affine))


def _noticed(maps: DiffusionMaps) -> list[Finding]:
    """DWI008: voxels without signal, tensors that physics forbids."""
    shares = (
        (maps.silent, MOST_SILENT, "of the brain's voxels have no signal and were left out"),
        (maps.unphysical, MOST_UNPHYSICAL, "of the brain's tensors had eigenvalues below 0 or above 5 um2/ms"),
    )
    return [_judged(share, most, what) for share, most, what in shares if share > 0]


def _judged(share: float, most: float, what: str) -> Finding:
    message = f"{100 * share:.1f} % {what}"
    if share <= MOST_USABLE:
        return Finding("DWI008", "warning" if share > most else "note", message, "look at the scan")
    fix = f"look at the scan, its mask, and the order of its b-values and directions; or {allow_option('DWI008')}"
    message = f"{message}; expected {100 * MOST_USABLE:.0f} % at most"
    return Finding("DWI008", "error", message, fix, allowable=True)
