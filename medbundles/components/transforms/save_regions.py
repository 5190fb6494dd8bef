"""Writing predicted regions as a label map, with probabilities, entropy and a picture."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform

from medbundles.components.broken_prediction import refuse_broken_prediction
from medbundles.components.overlay import write_png
from medbundles.components.region_labels import Labels, Numbering, Regions, label_numbers, regions_to_labels
from medbundles.components.region_sheet import ShownRegions, draw_regions
from medbundles.components.transforms.save_prediction import (
    PROBABILITY_DECIMALS,
    as_array,
    stored_channels,
    stored_grid,
)
from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.io.grids import Affine, case_name
from medbundles.io.images import write_volume

# Closer to 0 or 1 than this a probability's entropy is below a hundredth of a bit: not worth computing.
CERTAIN = 5e-4


class SaveRegionsd(Transform):
    """Write ``CASE_seg.nii.gz`` and, on request, ``_prob``, ``_entropy`` and ``_preview.png``; the item is passed on.

    All volumes lie on the grid of the image's file: same shape, same affine, every voxel at its place whatever the
    orientation. They are complete or absent, never half-written; none is written where one of them exists already.

    - ``_seg``: uint8, the number of each voxel's label (:func:`regions_to_labels`), 0 for background;
    - ``_prob``: the regions' probabilities, float32 rounded to 0.001; several are the file's fourth axis;
    - ``_entropy``: mean over regions of the binary entropy of the probabilities, in bits from 0 (certain) to 1,
      float32 rounded to 0.001. Of an ensemble or flips it is that of the mean probability;
    - ``_preview.png``: contrasts and regions on axial slices (:func:`medbundles.components.region_sheet.draw_regions`).

    Args:
        output_dir: folder of the files.
        regions: label values that make each region, in the order of the channels.
        labels: name of each label value, ``{1: "ncr", 2: "ed", 3: "et"}``.
        label_numbering: which numbers are written: ``2023``, ``2021`` (enhancing tumor is 4) or a number for each label
            value (:func:`label_numbers`).
        save_probability: whether probabilities are written.
        save_entropy: whether the entropy is written.
        preview: whether a picture is drawn.
        overwrite: whether existing files may be replaced.
        colors: RGB 0 to 255 by region, for the picture.
        contrasts: names of the image's channels, for the picture.
        preview_slices: axial slices of the picture.
        pred_key: item with probabilities ``(R, H, W, D)`` in RAS.
        regions_key: item with masks ``(R, H, W, D)``, see :class:`CleanRegionsd`; where it is absent they are what the
            probabilities are above one half.
        image_key: item with the image ``(C, H, W, D)``; its meta data says where the file's grid is.

    Raises:
        ConfigurationError: a numbering that does not fit the labels.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        regions: Regions,
        labels: Labels,
        label_numbering: Numbering | Mapping[int, int] | None = "2023",
        save_probability: bool = False,
        save_entropy: bool = False,
        preview: bool = True,
        overwrite: bool = False,
        colors: Mapping[str, Sequence[int]] | None = None,
        contrasts: Sequence[str] = (),
        preview_slices: int = 3,
        pred_key: str = "pred",
        regions_key: str = "regions",
        image_key: str = "image",
    ) -> None:
        super().__init__()
        self.output_dir = Path(output_dir)
        self.regions = {name: list(values) for name, values in regions.items()}
        self.labels = labels
        self.numbering = label_numbers(label_numbering, labels)
        self.written = [name for name, wanted in (("prob", save_probability), ("entropy", save_entropy)) if wanted]
        self.preview = preview
        self.overwrite = overwrite
        self.colors = colors
        self.contrasts = tuple(contrasts)
        self.preview_slices = preview_slices
        self.pred_key, self.regions_key, self.image_key = pred_key, regions_key, image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the files of one item and return it.

        Raises:
            OutputConflict: a file exists and ``overwrite`` is false.
            EnvironmentFailure: the disk is full.
            ConfigurationError: another number of channels than of regions.
            DataError: the prediction holds NaN or infinity (TRN003).
            ValueError: the prediction is not on the grid of the image's file.
        """
        item = dict(data)
        prediction = self._placed(item[self.pred_key], item)
        case = str(item["case"]) if "case" in item else case_name(str(prediction.meta["filename_or_obj"]))
        names = ["seg.nii.gz", *(f"{name}.nii.gz" for name in self.written), *(["preview.png"] if self.preview else [])]
        self._refuse_existing(self.output_dir / f"{case}_{name}" for name in names)
        affine, orientation = stored_grid(prediction)
        refuse_broken_prediction(case, as_array(prediction))
        masks = self._masks(item, prediction)
        label = regions_to_labels(masks, self.labels, self.regions, self.numbering)
        self._write(case, "seg", orientation.to_stored(as_array(label)[0]), affine)
        if self.written:
            self._write_probabilities(case, stored_channels(prediction, orientation), affine)
        if self.preview:
            shown = ShownRegions.of(case, item[self.image_key], masks, None, self.regions, self.contrasts)
            picture, words = draw_regions([shown], self.colors, self.regions, self.preview_slices)
            write_png(self.output_dir / f"{case}_preview.png", picture, words)
        return item

    def _placed(self, prediction: torch.Tensor, item: Mapping[Hashable, Any]) -> MetaTensor:
        """Return the prediction with the image's meta data, which says what file they are from."""
        image = item.get(self.image_key)
        plain = prediction.as_tensor() if isinstance(prediction, MetaTensor) else prediction
        source = image if isinstance(image, MetaTensor) else prediction
        if len(plain) != len(self.regions):
            raise ConfigurationError(f"{len(plain)} channel(s) predicted, expected {', '.join(self.regions)}")
        placed: MetaTensor = MetaTensor(plain.float()).copy_meta_from(source)
        return placed

    def _masks(self, item: Mapping[Hashable, Any], prediction: torch.Tensor) -> torch.Tensor:
        masks = item.get(self.regions_key)
        return prediction > 0.5 if masks is None else torch.as_tensor(masks)

    def _write_probabilities(self, case: str, probabilities: npt.NDArray[Any], affine: Affine) -> None:
        if "prob" in self.written:
            stack = probabilities[0] if len(probabilities) == 1 else np.moveaxis(probabilities, 0, -1)
            self._write(case, "prob", np.round(stack.astype(np.float32), PROBABILITY_DECIMALS), affine)
        if "entropy" in self.written:
            self._write(case, "entropy", np.round(mean_entropy(probabilities), PROBABILITY_DECIMALS), affine)

    def _write(self, case: str, name: str, array: npt.NDArray[Any], affine: Affine) -> None:
        write_volume(self.output_dir / f"{case}_{name}.nii.gz", array, affine, self.overwrite)

    def _refuse_existing(self, paths: Iterable[Path]) -> None:
        existing = [path for path in paths if path.exists()]
        if existing and not self.overwrite:
            raise OutputConflict(f"{existing[0]} exists; choose another folder or pass --overwrite true")


def mean_entropy(probabilities: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the mean over regions of each voxel's binary entropy, bits.

    Args:
        probabilities: ``(R, H, W, D)``, 0 to 1.

    Returns:
        ``(H, W, D)``: 0 where all regions are certain (to 0.0005), 1 where all are at one half.
    """
    total = np.zeros(probabilities.shape[1:], np.float32)
    for values in probabilities:
        unsure = (values > CERTAIN) & (values < 1.0 - CERTAIN)
        p = values[unsure].astype(np.float32)
        total[unsure] -= p * np.log2(p) + (1.0 - p) * np.log2(1.0 - p)
    return total / np.float32(len(probabilities))
