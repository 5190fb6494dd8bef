"""From one label map to a channel for each verdict on the nodules in it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform

from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.grids import Affine, flip_lps, to_world

BENIGN: Final = 0
MALIGNANT: Final = 1
# What both channels hold where there is a nodule on which nobody has given a verdict.
UNDECIDED: Final = -1
# A label's value for what was drawn as malignant by hand; 1 is benign there.
DRAWN_MALIGNANT: Final = 2
# In radii: what lies farther from every annotated center belongs to a nodule that is not listed. Masks of long or
# irregular nodules reach two to three times the radius of the ball they are listed with.
REACH: Final = 4.0


class MalignancyChannelsd(Transform):
    """Turn a label map into the channels benign and malignant.

    In a label of 0 and 1 every voxel takes the verdict of the annotated nodule that is nearest in mm, relative to its
    radius, so that nodules which touch are told apart. A label that holds a 2 says itself what is benign (1) and
    malignant (2), as does one whose record lists no ``nodules``.

    Voxels of a nodule without a verdict, and of one that is not listed, become -1 in both channels: no class, but not
    background either. They are no site for training samples, ``ignore_negative`` of
    :class:`medbundles.components.losses.FalseNegativeWeightedDiceLoss` leaves them out of the loss, and metrics of one
    class count what is found there neither way; metrics of any nodule count it as the nodule that it is.

    Args:
        label_key: label map ``(1, H, W, D)`` with an affine; becomes ``(2, H, W, D)``, int8.
        nodules_key: the record's list of nodules, each with ``center_lps_mm``, ``diameter_mm`` and ``malignant``
            (true, false or null); may be absent.
    """

    def __init__(self, label_key: str = "label", nodules_key: str = "nodules") -> None:
        self.label_key = label_key
        self.nodules_key = nodules_key
        # What is read of the record besides its files: the cache has to know (see MappedCache).
        self.record_keys = (nodules_key,)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with the label in two channels.

        Raises:
            ConfigurationError: the label has several channels already.
            DataError: a nodule without a position or a size (LUN012).
        """
        item = dict(data)
        label: MetaTensor = item[self.label_key]
        if len(label) != 1:
            raise ConfigurationError(f"expected a label of one channel, found {len(label)}")
        values, nodules = np.asarray(label[0]), item.get(self.nodules_key)
        if nodules is None or bool((values == DRAWN_MALIGNANT).any()):
            channels = np.stack([values == 1, values == DRAWN_MALIGNANT]).astype(np.int8)
        else:
            try:
                channels = assign_verdicts(values > 0, np.asarray(label.affine, dtype=np.float64), nodules)
            except (KeyError, TypeError, ValueError) as error:
                message = f"a nodule of the data list has no center_lps_mm or no diameter_mm above 0 ({error!r})"
                finding = Finding("LUN012", "error", message, "correct its record", case=str(item.get("case", "")))
                raise DataError(findings=[finding]) from error
        item[self.label_key] = MetaTensor(torch.from_numpy(channels)).copy_meta_from(label)
        return item


def assign_verdicts(
    mask: npt.NDArray[np.bool_], affine: Affine, nodules: Sequence[Mapping[str, Any]]
) -> npt.NDArray[np.int8]:
    """Give every voxel of a mask the verdict of its nodule.

    Args:
        mask: ``(H, W, D)``.
        affine: 4x4, voxel index to RAS+ mm; oblique and flipped ones as well.
        nodules: each with ``center_lps_mm``, ``diameter_mm`` and ``malignant``.

    Returns:
        ``(2, H, W, D)``: 1 where benign and where malignant; in both :data:`UNDECIDED` where it is not known.
    """
    channels = np.zeros((2, *mask.shape), dtype=np.int8)
    points = np.argwhere(mask)
    nearest = _nearest(to_world(affine, points), nodules)
    # One entry more, which the -1 of voxels that belong to no nodule leads to.
    verdicts = [*(nodule.get("malignant") for nodule in nodules), None]
    values = np.array([_values(verdict) for verdict in verdicts], dtype=np.int8)
    channels[(slice(None), *points.T)] = values[nearest].T
    return channels


def _nearest(points: npt.NDArray[np.float64], nodules: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.int64]:
    """Return for each point ``(n, 3)`` in RAS+ mm the number of its nodule, -1 where none reaches it."""
    best, number = np.full(len(points), REACH), np.full(len(points), -1, dtype=np.int64)
    for index, nodule in enumerate(nodules):
        radius = float(nodule["diameter_mm"]) / 2
        if not radius > 0:
            raise ValueError(f"diameter_mm {nodule['diameter_mm']}")
        center = flip_lps([float(value) for value in nodule["center_lps_mm"]])
        relative = np.linalg.norm(points - center, axis=1) / radius
        closer = relative < best
        best[closer], number[closer] = relative[closer], index
    return number


def _values(verdict: bool | None) -> tuple[int, int]:
    return (UNDECIDED, UNDECIDED) if verdict is None else (int(not verdict), int(verdict))
