"""Whether the tissues of a synthetic T1w lie where those of the real one do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medbundles.components.metrics.bootstrap import defined
from medbundles.components.metrics.masked_pair import Floats, Mask, MaskedPair, MaskedPairMetric
from medbundles.errors import ConfigurationError
from medbundles.io.packages import require_package

Tissues = npt.NDArray[np.uint8]

# From the darkest of a T1w to the brightest.
TISSUES = ("csf", "gm", "wm")
# dipy starts from classes at 0, 1/4, 1/2 and 3/4 of the brightest voxel, the first for what lies outside. These shares
# of the voxels are cut off at both ends, so that a few bright vessels do not push all tissues into one class ...
TAILS_PERCENT = (0.5, 99.5)
# ... and the darkest tissue begins here, nearer to 1/4 than to 0.
DARKEST = 0.2
# Between the places of the three classes, where dipy's first segmentation changes from one to the next.
FIRST_EDGES = (0.375, 0.625)
# Outside of the mask: dark, and with a spread, which the model needs. dipy would fill zeros by a generator of its own
# that knows no seed.
OUTSIDE_MEAN, OUTSIDE_SPREAD, OUTSIDE_SEED = 1e-3, 1e-4, 0
MOST_ITERATIONS = 100


@dataclass(frozen=True)
class TissueRow:
    """Dice of each tissue of one case, NaN where it is undefined.

    Attributes:
        case: its name.
        csf_dice: cerebrospinal fluid.
        gm_dice: gray matter.
        wm_dice: white matter.
    """

    case: str
    csf_dice: float
    gm_dice: float
    wm_dice: float

    @property
    def tissue_dice(self) -> float:
        """The mean of the tissues' Dice that are defined."""
        known = [dice for dice in (self.csf_dice, self.gm_dice, self.wm_dice) if np.isfinite(dice)]
        return float(np.mean(known)) if known else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Return the table's columns; an undefined figure is None (an empty field)."""
        return {"case": self.case} | {name: defined(getattr(self, name)) for name in TissueAgreement.figures}


class TissueAgreement(MaskedPairMetric[TissueRow]):
    """Dice of cerebrospinal fluid, gray and white matter between a synthetic T1w and the real one, inside the mask.

    Both volumes are classified the same way and for themselves, by dipy's hidden Markov random field
    (``TissueClassifierHMRF``; Zhang et al., IEEE Transactions on Medical Imaging 20, 2001), the classes by rising mean.
    :meth:`compute` returns the mean over cases of the three tissues' mean Dice. A synthetic volume in which three
    classes cannot be told apart, such as a constant one, has Dice 0; where the real one is like that, Dice is
    undefined. The same volumes always give the same figures.

    A brain at 1.5 mm takes about 12 s for its two volumes on one core: for evaluations rather than for the validations
    of a training.

    Args:
        output_transform: see :class:`MaskedPairMetric`.
        beta: how much a voxel's six neighbors count, at least 0: higher is smoother.
        tolerance: the iterations end where the energy of the last five differs by less than this share of all its
            change, above 0. A tenth of the default takes twice the time; it moved Dice by 0.01 to 0.03 where tried, so
            compare figures of one tolerance only.

    Raises:
        ConfigurationError: an argument out of its range.
        EnvironmentFailure: dipy is not installed.
    """

    figures: ClassVar[tuple[str, ...]] = ("tissue_dice", *(f"{tissue}_dice" for tissue in TISSUES))
    score_name: ClassVar[str] = "tissue_dice"

    def __init__(
        self, output_transform: Callable[[Any], Any] | None = None, beta: float = 0.1, tolerance: float = 1e-4
    ) -> None:
        if beta < 0.0 or tolerance <= 0.0:
            raise ConfigurationError(f"beta must be at least 0 and tolerance above 0, found {beta:g} and {tolerance:g}")
        require_package("dipy", "dwi", "tissue agreement")
        self.beta = beta
        self.tolerance = tolerance
        super().__init__(output_transform)

    def compare(self, pair: MaskedPair) -> TissueRow:
        """Classify one case's volumes and compare the classes."""
        real = classify_tissues(pair.real, pair.mask, self.beta, self.tolerance)
        if not real.any():
            return TissueRow(pair.case, *(float("nan"),) * len(TISSUES))
        synthetic = classify_tissues(pair.synthetic, pair.mask, self.beta, self.tolerance)
        return TissueRow(pair.case, *(_dice(synthetic == tissue, real == tissue) for tissue in (1, 2, 3)))

    def summary(self) -> dict[str, Any]:
        """Return the mean of each tissue's Dice, the 95 % intervals by case, and how tissues were told apart."""
        return {**super().summary(), "beta": self.beta, "tolerance": self.tolerance}


def classify_tissues(volume: Floats, mask: Mask, beta: float = 0.1, tolerance: float = 1e-4) -> Tissues:
    """Tell cerebrospinal fluid, gray and white matter of a T1w apart, by dipy's hidden Markov random field.

    Args:
        volume: ``(H, W, D)``, in any unit; only the mask's voxels count, so cut it to the mask to save time.
        mask: the same shape, at least one voxel.
        beta: see :class:`TissueAgreement`.
        tolerance: see :class:`TissueAgreement`.

    Returns:
        ``(H, W, D)``: 1, 2, 3 for the classes by rising mean, 0 outside of the mask, and 0 everywhere where the values
        do not fall into three classes.

    Raises:
        EnvironmentFailure: dipy is not installed.
    """
    require_package("dipy", "dwi", "telling tissues apart")
    from dipy.segment.tissue import TissueClassifierHMRF

    nothing = np.zeros(volume.shape, np.uint8)
    scaled = _scaled(volume, mask)
    if scaled is None:
        return nothing
    classifier = TissueClassifierHMRF(verbose=False)
    # A class that loses its last voxel on the way makes everything NaN; the result tells.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        _, classes, _ = classifier.classify(scaled, len(TISSUES), beta, tolerance=tolerance, max_iter=MOST_ITERATIONS)
    if not np.isin(classes[mask], (1, 2, 3)).all():
        return nothing
    return np.where(mask, classes, 0).astype(np.uint8)


def _scaled(volume: Floats, mask: Mask) -> Floats | None:
    """Return a volume as dipy's start needs it; None where one of its classes would have no voxel."""
    low, high = np.percentile(volume[mask], TAILS_PERCENT)
    if high <= low:
        return None
    values = DARKEST + (1.0 - DARKEST) * np.clip((volume - low) / (high - low), 0.0, 1.0)
    if len(np.unique(np.digitize(values[mask], FIRST_EDGES))) < len(TISSUES):
        return None
    noise = np.random.default_rng(OUTSIDE_SEED).normal(OUTSIDE_MEAN, OUTSIDE_SPREAD, volume.shape)
    return np.where(mask, values, noise)


def _dice(first: Mask, second: Mask) -> float:
    voxels = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / voxels if voxels else float("nan")
