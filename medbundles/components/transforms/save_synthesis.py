"""Writing synthetic volumes in the intensities of the training set's real ones."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform

from medbundles.components.broken_prediction import refuse_broken_prediction
from medbundles.components.overlay import write_png
from medbundles.components.resampling import isotropic_grid, resample
from medbundles.components.synthesis_sheet import ShownSynthesis, draw_synthesis
from medbundles.components.transforms.orientation import Orientation
from medbundles.components.transforms.save_prediction import as_array, stored_channels, stored_grid
from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.io.grids import Affine, case_name, corner_displacement_voxels
from medbundles.io.images import write_volume

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Shape = tuple[int, int, int]

GRIDS = ("dwi", "network")
# Grids whose corners lie nearer than this are one: what is left is rounding, and interpolating would only blur.
SAME_GRID_VOXELS = 1e-3


class SaveSynthesisd(Transform):
    """Write ``CASE_t1w.nii.gz``, on request ``CASE_t1w_z.nii.gz``, and ``CASE_preview.png``; the item is passed on.

    The volumes are float32 and 0 outside of the mask. Inside, a voxel of the first is ``z * std + mean``, with mean and
    standard deviation of the training set's real volumes: nothing of the case's own T1w takes part. Files are complete
    or absent, never half-written; none is written where one of them exists already.

    Where the grid is another than the network's, values and mask are interpolated (trilinear; larger voxels show the
    mean of what they cover), and a voxel at the brain's edge has the mean of the brain that it covers, at least half.

    Args:
        output_dir: folder of the files.
        mean: mean of the training set's real volumes inside their masks, in their unit.
        std: their standard deviation, above 0.
        output_grid: ``dwi``, the grid of the diffusion MRI as it is stored: that of the item's ``dwi_affine`` (4x4,
            RAS+ mm) and ``dwi_shape`` (three numbers), or of the image's file where it has none; ``network``, the grid
            that the network worked on, in RAS order; or the edge of cubic voxels in mm, in the network's field of view.
        save_z: also write the volume in z units.
        overwrite: whether existing files may be replaced.
        pred_key: item with the prediction ``(1, H, W, D)`` in z units.
        mask_key: item with the brain ``(1, H, W, D)``, 0 or 1.
        image_key: item with the network's input ``(C, H, W, D)``, for the preview.
        label_key: item with the real volume in z units, for the preview where there is one.
        channel: channel of the image that the preview shows.
        channel_name: what it is called.

    Raises:
        ConfigurationError: a standard deviation of 0 or less, or a grid that is none of these.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        mean: float,
        std: float,
        output_grid: str | float = "dwi",
        save_z: bool = False,
        overwrite: bool = False,
        pred_key: str = "pred",
        mask_key: str = "mask",
        image_key: str = "image",
        label_key: str = "label",
        channel: int = 0,
        channel_name: str = "mean_b0",
    ) -> None:
        super().__init__()
        if not (np.isfinite(mean) and np.isfinite(std) and std > 0.0):
            raise ConfigurationError(f"mean must be a number and std above 0, found {mean} and {std}")
        if output_grid not in GRIDS if isinstance(output_grid, str) else not output_grid > 0.0:
            raise ConfigurationError(f"output_grid must be dwi, network or an edge in mm, found {output_grid}")
        self.output_dir = Path(output_dir)
        self.mean = float(mean)
        self.std = float(std)
        self.output_grid = output_grid
        self.save_z = save_z
        self.overwrite = overwrite
        self.keys = (image_key, label_key, pred_key, mask_key)
        self.channel = channel
        self.channel_name = channel_name

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the files of one item and return it.

        Raises:
            OutputConflict: a file exists and ``overwrite`` is false.
            EnvironmentFailure: the disk is full.
            DataError: the prediction holds NaN or infinity inside the mask (TRN003).
            ValueError: prediction and mask are on different grids.
        """
        item = dict(data)
        _, _, pred_key, mask_key = self.keys
        prediction: MetaTensor = item[pred_key]
        case = str(item["case"]) if "case" in item else case_name(str(prediction.meta["filename_or_obj"]))
        volume, z_volume, picture = (
            self.output_dir / f"{case}_{name}" for name in ("t1w.nii.gz", "t1w_z.nii.gz", "preview.png")
        )
        self._refuse_existing((volume, picture, *([z_volume] if self.save_z else [])))
        shown = ShownSynthesis.of(case, item, self.keys, self.channel, self.channel_name)
        inside = as_array(item[mask_key])[0] > 0
        refuse_broken_prediction(case, as_array(prediction)[0][inside])
        affine, shape = self._wanted_grid(item, prediction)
        values = as_array(prediction)[0].astype(np.float32)
        values, inside = _brought(values, inside, _affine(prediction), affine, shape)
        write_volume(volume, np.where(inside, values * self.std + self.mean, 0.0).astype(np.float32), affine)
        if self.save_z:
            write_volume(z_volume, np.where(inside, values, 0.0).astype(np.float32), affine)
        write_png(picture, *draw_synthesis(shown))
        return item

    def _refuse_existing(self, paths: tuple[Path, ...]) -> None:
        for path in paths:
            if path.exists() and not self.overwrite:
                raise OutputConflict(f"{path} exists; choose another folder or pass --overwrite true")

    def _wanted_grid(self, item: Mapping[Hashable, Any], prediction: MetaTensor) -> tuple[Affine, Shape]:
        affine, shape = _affine(prediction), _shape(prediction.shape[1:])
        if self.output_grid == "network":
            return affine, shape
        if not isinstance(self.output_grid, str):
            return isotropic_grid(affine, shape, self.output_grid)
        if "dwi_affine" in item and "dwi_shape" in item:
            return np.asarray(item["dwi_affine"], dtype=np.float64).reshape(4, 4), _shape(item["dwi_shape"])
        stored, orientation = stored_grid(prediction)
        return stored, _shape(stored_channels(prediction, orientation).shape[1:])


def _brought(values: Floats, inside: Mask, affine: Affine, target: Affine, shape: Shape) -> tuple[Floats, Mask]:
    """Return values and mask on a grid: turned where it is the same in another order, else interpolated."""
    orientation = Orientation.of(target)
    turned = _shape([shape[axis] for axis in orientation.axes])
    moved_voxels = corner_displacement_voxels(affine, orientation.ras_affine(target, shape), turned)
    if turned == values.shape and moved_voxels < SAME_GRID_VOXELS:
        return orientation.to_stored(values), orientation.to_stored(inside)
    share = resample(inside.astype(np.float32), affine, target, shape)
    moved = resample(np.where(inside, values, 0.0), affine, target, shape)
    there = share >= 0.5
    return np.divide(moved, share, out=np.zeros(shape, np.float32), where=there), there


def _affine(tensor: MetaTensor) -> Affine:
    return np.asarray(tensor.affine, dtype=np.float64)


def _shape(sizes: Any) -> Shape:
    first, second, third = (int(size) for size in np.asarray(sizes).reshape(-1)[:3])
    return first, second, third
