"""Reading volumes for training, evaluation and inference alike."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform

from medbundles.checks.nonfinite import repair_nonfinite
from medbundles.components.transforms.orientation import Orientation
from medbundles.errors import DataError, Finding
from medbundles.io.headers import Geometry
from medbundles.io.images import Volume, read_volume

logger = logging.getLogger(__name__)
# Rounding of stored affines; the checks before a run tell what is truly elsewhere.
SAME_GRID_MM = 1e-2


class LoadVolumed(MapTransform):
    """Read one-channel volumes as ``(1, H, W, D)`` ``MetaTensor`` in RAS, in the type they are stored in.

    A list of files on one grid becomes the channels ``(C, H, W, D)`` of one tensor, with the first one's meta data.

    Takes the place of ``LoadImaged``, ``EnsureChannelFirstd`` and ``Orientationd``: one copy, no conversion to float
    (a chest CT of 300 slices stays 157 MB), no resampling, and the geometry rule of this package instead of ITK's.
    The meta data hold ``affine`` (RAS), ``original_affine`` and ``spatial_shape`` (the file's), ``filename_or_obj`` and
    the item's ``case``; :class:`medbundles.components.transforms.SavePredictiond` returns to the file's grid with them.

    Args:
        keys: items that hold a path, or a list of them.
        geometry: ``sform`` or ``qform`` where a NIfTI file's two disagree; ``None`` refuses such files (NII005).
        dtype: name of a NumPy type to convert to; ``None`` keeps the stored one (unsigned 16 bit becomes int32,
            because few operations take it).
        repair: for inference: replace NaN and infinity where that is safe, with a warning (NII002).
        modality: ``CT`` lets the repair take the values as HU.
        allow_missing_keys: whether an absent key is skipped.
    """

    def __init__(
        self,
        keys: KeysCollection,
        geometry: Geometry | None = None,
        dtype: str | None = None,
        repair: bool = False,
        modality: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.geometry = geometry
        self.dtype = dtype
        self.repair = repair
        self.modality = modality

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with volumes in the place of paths.

        Raises:
            DataError: a file that cannot be read or must not be (NII001, NII002, NII003, NII005, NII007, LUN001), or
                files on different grids (NII004), with the case's name.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            value = item[key]
            paths = [Path(name) for name in value] if isinstance(value, list | tuple) else [Path(value)]
            try:
                volumes = [self._load(path) for path in paths]
                item[key] = volumes[0] if len(volumes) == 1 else stacked(volumes, paths)
                if "case" in item:
                    # What an engine passes on are tensors: of CASE/ct.nii.gz they would know no more than "ct".
                    item[key].meta["case"] = str(item["case"])
            except DataError as error:
                case = str(item["case"]) if "case" in item else None
                raise DataError(error.message, [replace(finding, case=case) for finding in error.findings]) from error
        return item

    def _load(self, path: Path) -> MetaTensor:
        return self._of_volume(read_volume(path, self.dtype, self.geometry), path)

    def _of_volume(self, volume: Volume, path: Path) -> MetaTensor:
        if volume.array.ndim != 3:
            message = f"expected a volume of three axes, found the shape {volume.array.shape}"
            raise DataError(findings=[Finding("NII007", "error", message, "choose one volume of it", file=path.name)])
        repaired = 0
        if self.repair:
            array, repaired = repair_nonfinite(volume.array, self.modality, file=path.name)
            volume = Volume(array, volume.affine)
        if repaired:
            message = f"{repaired} NaN or infinite voxels outside tissue were replaced"
            logger.warning("%s", Finding("NII002", "warning", message, file=path.name))
        tensor = as_ras_tensor(volume, path)
        tensor.meta["repaired_voxels"] = repaired
        return tensor


def stacked(volumes: Sequence[MetaTensor], paths: Sequence[Path]) -> MetaTensor:
    """Return the channels of one image, in one type.

    Raises:
        DataError: one of them is on another grid than the first (NII004).
    """
    first = volumes[0]
    for volume, path in zip(volumes, paths, strict=True):
        if volume.shape != first.shape or not torch.allclose(volume.affine, first.affine, atol=SAME_GRID_MM):
            message = f"not on the grid of {paths[0].name}, the first channel"
            fix = "bring all channels to one grid"
            raise DataError(findings=[Finding("NII004", "error", message, fix, file=path.name)])
    # Slices first in memory, as the volumes are: joined otherwise every voxel would be moved.
    levels = torch.cat([volume.as_tensor().permute(0, 3, 1, 2) for volume in volumes])
    image = MetaTensor(levels.permute(0, 2, 3, 1))
    image.copy_meta_from(first)
    return image


def as_ras_tensor(volume: Volume, path: Path) -> MetaTensor:
    """Return a volume as ``(1, H, W, D)`` in RAS that remembers its file's grid."""
    orientation = Orientation.of(volume.affine)
    turned = _supported(orientation.to_ras(volume.array))
    # Slices first in memory, as files store them: four times faster to copy and to read slice by slice.
    levels = np.ascontiguousarray(turned.transpose(2, 0, 1))
    if min(levels.strides) < 0:  # an axis of one voxel, turned: contiguous to NumPy, refused by PyTorch
        levels = levels.copy()
    tensor = torch.from_numpy(levels).permute(1, 2, 0)[None]
    affine = torch.from_numpy(orientation.ras_affine(volume.affine, volume.array.shape))
    meta = {
        "original_affine": torch.from_numpy(volume.affine.copy()),
        "spatial_shape": np.asarray(volume.array.shape),
        "filename_or_obj": str(path),
        "space": "RAS",
    }
    return MetaTensor(tensor, affine=affine, meta=meta)


def _supported(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array in a type and byte order that PyTorch computes with."""
    kind = array.dtype
    if kind.kind == "u" and kind.itemsize > 1:
        return array.astype(np.int32 if kind.itemsize == 2 else np.int64)
    return array if kind.isnative else array.astype(kind.newbyteorder("="))
