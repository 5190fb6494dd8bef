"""Base of metrics that measure probabilities against labels."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data.meta_tensor import MetaTensor
from monai.handlers.utils import from_engine
from torch import Tensor

from medbundles.components.metrics.case_metric import CaseMetric, Row
from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.grids import Affine, voxel_volume_mm3

# Probabilities averaged over overlapping windows leave [0, 1] by rounding; logits leave it by far more.
ROUNDING = 1e-4


@dataclass(frozen=True)
class ScoredCase:
    """One case as arrays.

    Attributes:
        case: its name.
        probability: ``(H, W)`` or ``(H, W, D)`` in [0, 1], not copied where it lay in memory already.
        label: the same shape, boolean.
        voxel_mm3: volume of a voxel; None where neither tensor knows its affine.
        affine: 4x4, voxel index to RAS+ mm; None where neither tensor knows it.
        ignored: the same shape, where a label of several channels says below 0 that its class is unknown: what lies
            there counts neither way; None where there is nothing of the kind.
        tensors: prediction and label ``(C, H, W[, D])`` with all channels, for what compares them.
    """

    case: str
    probability: npt.NDArray[np.floating[Any]]
    label: npt.NDArray[np.bool_]
    voxel_mm3: float | None
    affine: Affine | None = None
    ignored: npt.NDArray[np.bool_] | None = None
    tensors: tuple[Tensor, Tensor] | None = None


class ProbabilityMetric(CaseMetric[Row]):
    """Collect one row a case of probabilities; see :class:`CaseMetric`.

    Voxel sizes come from the ``MetaTensor`` of the label or of the prediction.

    Args:
        output_transform: takes the engine's output to ``(pred, label)``; the default is
            ``from_engine(["pred", "label"])``.
        channel: which channel of the prediction, and of a label with several channels, is measured; None: whether
            there is anything at all, that is the highest of the prediction's channels and whatever a label has, be its
            class known or not (see :class:`medbundles.components.transforms.MalignancyChannelsd`).
    """

    def __init__(self, output_transform: Callable[[Any], Any] | None = None, channel: int | None = None) -> None:
        self.channel = channel
        super().__init__(output_transform or from_engine(["pred", "label"]))

    @abstractmethod
    def measure(self, scored: ScoredCase) -> Row:
        """Return the row of one case."""

    def update(self, output: Sequence[Any]) -> None:
        """Add the rows of ``(pred, label)``: two batches ``(B, C, ...)`` or two lists of ``(C, ...)``.

        Raises:
            ConfigurationError: shapes differ, or the prediction holds no probabilities.
            DataError: the prediction holds NaN (TRN003).
        """
        for prediction, label in zip(output[0], output[1], strict=True):
            self.add(self.measure(self._scored(prediction, label)))

    def _scored(self, prediction: Tensor, label: Tensor) -> ScoredCase:
        if prediction.shape[1:] != label.shape[1:]:
            raise ConfigurationError(
                f"prediction {tuple(prediction.shape)} and label {tuple(label.shape)} (channel first) are not on "
                "the same grid"
            )
        name = self.name_of(label, prediction)
        plain = _chosen(prediction.detach(), self.channel).cpu()
        probability = _array(plain if plain.dtype in (torch.float32, torch.float64) else plain.float())
        _refuse_non_probabilities(name, probability)
        truth, ignored = self._truth(label.detach())
        affine = _affine(label, prediction)
        voxel_mm3 = None if affine is None else voxel_volume_mm3(affine)
        return ScoredCase(name, probability, truth, voxel_mm3, affine, ignored, (prediction, label))

    def _truth(self, label: Tensor) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]:
        """Return what is labelled, and what counts neither way."""
        if len(label) == 1:
            return _array(label[0].cpu() > 0), None
        if self.channel is None:
            return _array((label != 0).any(dim=0).cpu()), None
        chosen = label[self.channel].cpu()
        ignored = _array(chosen < 0)
        return _array(chosen > 0), ignored if ignored.any() else None


def _chosen(prediction: Tensor, channel: int | None) -> Tensor:
    if channel is None:
        return prediction[0] if len(prediction) == 1 else prediction.amax(dim=0)
    return prediction[channel]


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    return np.asarray(tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor)


def _affine(*tensors: Tensor) -> Affine | None:
    affines = (np.asarray(t.affine, dtype=np.float64) for t in tensors if isinstance(t, MetaTensor))
    return next((affine for affine in affines if affine.shape == (4, 4)), None)


def _refuse_non_probabilities(case: str, probability: npt.NDArray[Any]) -> None:
    low, high = float(probability.min()), float(probability.max())
    if math.isnan(low):
        fix = "the weights hold NaN, or the image does; use an earlier checkpoint"
        raise DataError(findings=[Finding("TRN003", "error", "the prediction holds NaN", fix, case=case)])
    if low < -ROUNDING or high > 1.0 + ROUNDING:
        raise ConfigurationError(
            f"case {case}: the prediction runs from {low:g} to {high:g}, expected probabilities from 0 to 1; "
            "let the postprocessing apply the sigmoid"
        )
