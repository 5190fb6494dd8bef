"""Writing predictions on the grid of the file they were made from."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform

from medbundles.components.broken_prediction import refuse_broken_prediction
from medbundles.components.regions import highest_channel, region_mask
from medbundles.components.transforms.orientation import Orientation
from medbundles.io.grids import Affine, case_name
from medbundles.io.images import write_volume

# Probabilities are stored in steps of a thousandth: finer ones mean nothing and make files three times larger.
PROBABILITY_DECIMALS = 3


class SavePredictiond(MapTransform):
    """Write ``CASE_seg.nii.gz`` and, on request, ``CASE_prob.nii.gz``; the item itself is passed on unchanged.

    The files lie on the input's grid: same shape, same affine, every voxel at its place whatever the orientation
    (axes are permuted and flipped back, nothing is resampled). They are complete or absent, never half-written.

    Args:
        keys: items that hold probabilities ``(C, H, W, D)`` in RAS, as
            :class:`medbundles.components.transforms.LoadVolumed` oriented their image.
        output_dir: folder of the files.
        threshold: a voxel is foreground above this probability; ``(0, 1)``. With several channels the label is the
            number of the most probable one, counted from 1, where that one reaches the threshold.
        peak_threshold: connected regions of the mask whose highest probability stays below this are removed, so that
            the mask shows what :class:`medbundles.components.handlers.NoduleTables` lists; ``None``: all stay.
        candidate_threshold: above this voxels form regions; ``None``: above ``threshold``
            (:func:`medbundles.components.regions.label_regions`).
        save_probability: also write probabilities, float32 rounded to 0.001; the channels become the file's fourth axis
            when there are several.
        overwrite: whether existing files may be replaced.
        postfix: the mask's file is ``CASE_<postfix>.nii.gz``.
        allow_missing_keys: whether an absent key is skipped.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | os.PathLike[str],
        threshold: float = 0.5,
        peak_threshold: float | None = None,
        candidate_threshold: float | None = None,
        save_probability: bool = False,
        overwrite: bool = False,
        postfix: str = "seg",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)
        self.threshold = threshold
        self.peak_threshold = peak_threshold
        self.candidate_threshold = candidate_threshold
        self.save_probability = save_probability
        self.overwrite = overwrite
        self.postfix = postfix

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the files of one item and return it.

        Raises:
            OutputConflict: a file exists and ``overwrite`` is false.
            EnvironmentFailure: the disk is full.
            DataError: the prediction holds NaN or infinity (TRN003).
        """
        item = dict(data)
        for key in self.key_iterator(item):
            self._save(item[key], str(item["case"]) if "case" in item else None)
        return item

    def _save(self, prediction: MetaTensor, case: str | None) -> None:
        affine, orientation = stored_grid(prediction)
        case = case or case_name(str(prediction.meta["filename_or_obj"]))
        probabilities = stored_channels(prediction, orientation)
        refuse_broken_prediction(case, probabilities)
        path = self.output_dir / f"{case}_{self.postfix}.nii.gz"
        write_volume(path, self._labels(probabilities), affine, self.overwrite)
        if self.save_probability:
            stack = probabilities[0] if len(probabilities) == 1 else np.moveaxis(probabilities, 0, -1)
            values = stack.astype(np.float32)
            np.round(values, PROBABILITY_DECIMALS, out=values)
            write_volume(self.output_dir / f"{case}_prob.nii.gz", values, affine, self.overwrite)

    def _labels(self, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        highest = highest_channel(probabilities)
        return class_map(
            region_mask(highest, self.threshold, self.peak_threshold, self.candidate_threshold), probabilities
        )


def stored_grid(tensor: MetaTensor) -> tuple[Affine, Orientation]:
    """Return the affine (RAS+ mm) of the file a tensor was read from, and how the file's axes become the tensor's.

    Raises:
        ValueError: the tensor is not on the file's grid any more (it was resampled or cropped).
    """
    original = tensor.meta.get("original_affine", tensor.affine)
    affine = np.asarray(original, dtype=np.float64).reshape(4, 4)
    orientation = Orientation.of(affine)
    shape = np.asarray(tensor.meta.get("spatial_shape", tensor.shape[1:])).reshape(-1)
    if tuple(int(shape[axis]) for axis in orientation.axes) != tuple(tensor.shape[-3:]):
        raise ValueError(f"the prediction {tuple(tensor.shape)} is not on the grid of its file {tuple(shape)}")
    return affine, orientation


def stored_channels(tensor: MetaTensor, orientation: Orientation) -> npt.NDArray[Any]:
    """Return a tensor ``(C, H, W, D)`` on its file's grid; a single channel is not copied."""
    channels = [orientation.to_stored(channel) for channel in as_array(tensor)]
    return channels[0][None] if len(channels) == 1 else np.stack(channels)


def class_map(mask: npt.NDArray[np.bool_], probabilities: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return for each voxel of a mask ``(H, W, D)`` the number, from 1, of its most probable channel; 0 elsewhere."""
    return np.asarray(mask if len(probabilities) == 1 else mask * (probabilities.argmax(axis=0) + 1), dtype=np.uint8)


def as_array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """Return a tensor's values without its meta data, on the CPU and without a copy where it lies there already."""
    plain = tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
    return np.asarray(plain.detach().cpu().numpy())
