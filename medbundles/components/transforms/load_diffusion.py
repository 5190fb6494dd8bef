"""From a raw diffusion MRI, or a prepared one, to a network's input."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from medbundles.checks.gradients import B0_THRESHOLD
from medbundles.checks.nonfinite import repair_nonfinite
from medbundles.checks.notices import notice
from medbundles.checks.verdict import apply_allow, has_errors
from medbundles.components.diffusion import parse_channels
from medbundles.components.diffusion.brain_mask import as_brain
from medbundles.components.diffusion.preparation import prepare_scan
from medbundles.components.resampling import isotropic_grid
from medbundles.components.transforms.load_volume import LoadVolumed, as_ras_tensor
from medbundles.errors import DataError, Finding
from medbundles.io.gradients import read_gradients
from medbundles.io.headers import Geometry
from medbundles.io.images import Volume, read_volume


class LoadDiffusiond(Transform):
    """Add ``image`` ``(C, H, W, D)`` and ``mask`` ``(1, H, W, D)`` in RAS to an item.

    An item with ``dwi``, ``b_values`` and ``b_vectors`` (paths of a raw scan; ``brain`` a mask, if there is one) is
    prepared as ``medbundles prepare dwi_t1w`` does it; ``dwi_affine`` and ``dwi_shape`` then say the scan's own grid.
    An item with ``image`` (paths of a prepared case) is read; what is 0 in all its channels is outside of the mask.
    What is found without refusing is noticed (:func:`medbundles.checks.notices.notice`).

    Args:
        channels: names of the channels, in the network's order.
        grid: edge of the network's cubic voxels in mm; ``dwi`` keeps the scan's.
        b0_threshold: largest b-value that counts as unweighted, in s/mm2.
        shell: b-value of the shell to take; None takes the one nearest to 1000 s/mm2.
        geometry: which NIfTI form counts where sform and qform disagree.
        allow: fault codes whose allowable errors become warnings.
    """

    def __init__(
        self,
        channels: Sequence[str],
        grid: float | str = "dwi",
        b0_threshold: float = B0_THRESHOLD,
        shell: float | None = None,
        geometry: Geometry | None = None,
        allow: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.channels = parse_channels(channels)
        self.grid = grid
        self.b0_threshold = b0_threshold
        self.shell = shell
        self.geometry = geometry
        self.allow = tuple(allow)
        self._load = LoadVolumed(["image"], geometry=geometry, dtype="float32", repair=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its volumes.

        Raises:
            DataError: the scan gives no tensor (DWI002 to DWI008, DWI011), its mask is none (DWI012), voxels of the
                head are no numbers (NII002), or a file must not be read; with the case's name.
        """
        item = dict(data)
        if "dwi" not in item:
            item = self._load(item)
            image = item["image"]
            inside = MetaTensor((image.as_tensor() != 0).any(dim=0, keepdim=True).to(torch.uint8))
            item["mask"] = inside.copy_meta_from(image)
            return item
        try:
            return item | self._prepared(item)
        except DataError as error:
            case = str(item["case"])
            raise DataError(error.message, [replace(finding, case=case) for finding in error.findings]) from error

    def _prepared(self, item: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        path = Path(item["dwi"])
        scan = read_volume(path, geometry=self.geometry)
        brain = None
        if "brain" in item:
            brain = as_brain(read_volume(item["brain"], geometry=self.geometry).array, Path(item["brain"]).name)
        shape = scan.array.shape[:3]
        target = None if isinstance(self.grid, str) else isotropic_grid(scan.affine, shape, self.grid)
        # The last axis counts volumes; what is judged is a voxel's neighborhood in space.
        volumes, repaired = repair_nonfinite(np.moveaxis(scan.array, -1, 0), file=path.name)
        if repaired:
            message = f"{repaired} NaN or infinite voxels outside tissue were replaced"
            notice(Finding("NII002", "warning", message, case=str(item["case"]), file=path.name))
        made = prepare_scan(
            np.moveaxis(volumes, 0, -1),
            scan.affine,
            read_gradients(Path(item["b_values"]), Path(item["b_vectors"])),
            self.channels,
            mask=brain,
            target=target,
            b0_threshold=self.b0_threshold,
            shell=self.shell,
        )
        findings = [replace(finding, file=path.name) for finding in apply_allow(made.findings, self.allow)]
        if has_errors(findings):
            raise DataError(findings=[finding for finding in findings if finding.level != "note"])
        for finding in findings:
            notice(replace(finding, case=str(item["case"])))
        image = [as_ras_tensor(Volume(channel, made.affine), path) for channel in made.channels]
        stacked = MetaTensor(torch.cat([channel.as_tensor() for channel in image]))
        stacked.copy_meta_from(image[0])
        mask = as_ras_tensor(Volume(made.mask.astype(np.uint8), made.affine), path)
        return {"image": stacked, "mask": mask, "dwi_affine": scan.affine, "dwi_shape": list(shape)}
