"""How near a synthetic volume comes to the real one, voxel by voxel and in structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from medbundles.components.metrics.bootstrap import defined
from medbundles.components.metrics.masked_pair import Floats, MaskedPair, MaskedPairMetric

# Wang et al., IEEE Transactions on Image Processing 13, 2004: a Gaussian of 1.5 voxels, eleven voxels wide.
WINDOW_SIGMA, WINDOW_RADIUS = 1.5, 5
K1, K2 = 0.01, 0.03


@dataclass(frozen=True)
class QualityRow:
    """The figures of one case, NaN where one is undefined.

    Attributes:
        case: its name.
        mask_voxels: voxels that are compared.
        data_range: highest less lowest real value inside the mask, in z units.
        mae: mean absolute error, z units.
        mse: mean squared error, squared z units.
        psnr: peak signal-to-noise ratio ``10 log10(data_range^2 / mse)``, dB.
        ssim: structural similarity, at most 1.
        correlation: Pearson's, -1 to 1.
        sharpness: median steepness of the prediction by that of the real volume; below 1 it is smoother.
    """

    case: str
    mask_voxels: int
    data_range: float
    mae: float
    mse: float
    psnr: float
    ssim: float
    correlation: float
    sharpness: float

    def as_dict(self) -> dict[str, Any]:
        """Return the table's columns; an undefined figure is None (an empty field)."""
        return {key: defined(value) if isinstance(value, float) else value for key, value in asdict(self).items()}


class SynthesisQuality(MaskedPairMetric[QualityRow]):
    """Errors, PSNR, SSIM, correlation and sharpness of a synthetic volume inside the mask, in the real one's units.

    The real volume is z-scored inside the mask; the prediction is taken as it comes out and not standardized again, so
    that a wrong brightness or contrast counts as an error. The data range of PSNR and SSIM is that of the case's real
    volume inside the mask. SSIM has a Gaussian window of 1.5 voxels in three dimensions and population covariances
    (Wang et al., 2004); its map is averaged over the mask's voxels, with 0 in both volumes outside of the mask.

    :meth:`compute` returns the mean MAE over cases: lower is better, which ``lower_is_better`` of
    :class:`medbundles.components.handlers.ResumableCheckpoint` tells the evaluator. Sharpness is taken from
    differences between neighbors, per voxel, where all neighbors lie inside the mask. PSNR is undefined where both
    volumes are the same, PSNR, SSIM and sharpness where the real one is constant, the correlation where either is.

    Args:
        output_transform: see :class:`MaskedPairMetric`.
    """

    figures: ClassVar[tuple[str, ...]] = ("mae", "mse", "psnr", "ssim", "correlation", "sharpness")
    score_name: ClassVar[str] = "mae"

    def __init__(self, output_transform: Callable[[Any], Any] | None = None) -> None:
        super().__init__(output_transform)

    def compare(self, pair: MaskedPair) -> QualityRow:
        """Compare one case's volumes."""
        real, synthetic = pair.real[pair.mask], pair.synthetic[pair.mask]
        difference = synthetic - real
        mse, span = float(np.mean(difference**2)), float(np.ptp(real))
        similarity = structural_similarity(pair.synthetic, pair.real, span)[pair.mask] if span else np.nan
        return QualityRow(
            case=pair.case,
            mask_voxels=len(real),
            data_range=span,
            mae=float(np.abs(difference).mean()),
            mse=mse,
            psnr=float(10.0 * np.log10(span**2 / mse)) if span and mse else np.nan,
            ssim=float(np.mean(similarity)),
            correlation=_correlation(synthetic, real),
            sharpness=_sharpness(pair),
        )


def structural_similarity(first: Floats, second: Floats, data_range: float) -> Floats:
    """Return the map of the structural similarity (SSIM) of two volumes that are 0 all around.

    Args:
        first: ``(H, W, D)``.
        second: the same shape.
        data_range: span of the values, above 0; it scales the constants that keep flat regions from dividing by 0.

    Returns:
        ``(H, W, D)``, 1 where the windows hold the same.
    """
    mean_first, mean_second = _windowed(first), _windowed(second)
    variances = _windowed(first * first) - mean_first**2 + _windowed(second * second) - mean_second**2
    covariance = _windowed(first * second) - mean_first * mean_second
    luminance, contrast = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    return np.asarray(
        (2.0 * mean_first * mean_second + luminance)
        * (2.0 * covariance + contrast)
        / ((mean_first**2 + mean_second**2 + luminance) * (variances + contrast))
    )


def _windowed(volume: Floats) -> Floats:
    return np.asarray(ndimage.gaussian_filter(volume, WINDOW_SIGMA, mode="constant", radius=WINDOW_RADIUS))


def _correlation(first: Floats, second: Floats) -> float:
    if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _sharpness(pair: MaskedPair) -> float:
    within = ndimage.binary_erosion(pair.mask)
    if not within.any():
        return float("nan")
    ours, theirs = (np.median(_steepness(volume)[within]) for volume in (pair.synthetic, pair.real))
    return float(ours / theirs) if theirs else float("nan")


def _steepness(volume: Floats) -> Floats:
    """Return the length of the gradient per voxel, from central differences."""
    slopes = [ndimage.correlate1d(volume, [-0.5, 0.0, 0.5], axis) for axis in range(volume.ndim)]
    return np.asarray(np.linalg.norm(slopes, axis=0))
