"""A second look at every finding: a 3D network says again how likely it is a lesion."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from torch import nn

from medbundles.components.broken_prediction import refuse_broken_prediction
from medbundles.components.cubes import CubeGrid, cut_cubes
from medbundles.components.metrics.case_metric import case_of_tensors
from medbundles.components.metrics.lesion_matching import Components, find_components
from medbundles.components.regions import highest_channel
from medbundles.components.transforms.save_prediction import as_array
from medbundles.io.grids import to_world


class RescoreFindingsd(Transform):
    """Lower the probabilities of what a second, three-dimensional network does not take for a lesion.

    A finding is a connected component (26 neighbors) above ``candidate_threshold``. Its new score is the product of
    its highest probability and the second network's; no voxel of it keeps a higher probability than that, lower ones
    stay as they are. So everything that reads probabilities afterwards (tables, masks, metrics, thresholds) needs to
    know nothing of the second network. Source of the idea: false positive reduction, chapters 12 and 14 of "Deep
    Learning with PyTorch"; Setio et al., IEEE Transactions on Medical Imaging 35, 2016.

    Args:
        network: takes ``(B, scales, size, size, size)`` in the image's unit and returns logits ``(B, 1)``; None
            changes nothing.
        candidate_threshold: probability above which voxels form findings.
        size: points along each edge of the cubes.
        spacings_mm: distance of the points, one cube each.
        fill: image value outside of the volume.
        window: the lowest and highest image value that is told apart.
        pred_key: probabilities ``(C, H, W, D)``; several channels are lowered alike, so that their shares stay.
        image_key: image ``(1, H, W, D)`` on the same grid.
        batch_size: cubes the network sees at once.
        in_place: write over probabilities on the CPU; a whole CT has 300 MB of them.
    """

    def __init__(
        self,
        network: nn.Module | None,
        candidate_threshold: float,
        size: int = 32,
        spacings_mm: Sequence[float] = (0.75, 1.5),
        fill: float = -1000.0,
        window: Sequence[float] = (-1000.0, 1000.0),
        pred_key: str = "pred",
        image_key: str = "image",
        batch_size: int = 32,
        in_place: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.candidate_threshold = candidate_threshold
        self.grid = CubeGrid(size, tuple(spacings_mm), fill)
        self.window = (float(window[0]), float(window[1]))
        self.pred_key = pred_key
        self.image_key = image_key
        self.batch_size = batch_size
        self.in_place = in_place

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with the new probabilities, of the same type and on the same device."""
        item = dict(data)
        if self.network is None:
            return item
        before: torch.Tensor = item[self.pred_key]
        image = item[self.image_key]
        affine = np.asarray(image.affine, dtype=np.float64)
        result = as_array(before)
        if not self.in_place:
            result = result.copy()
        highest = highest_channel(result)
        found = find_components(highest > np.float32(self.candidate_threshold))
        if len(found):
            scores = self._judge(self.network, as_array(image)[0], affine, found)
            refuse_broken_prediction(str(item.get("case") or case_of_tensors(before, image) or "unknown"), scores)
            _limit(result, highest, found, found.maxima(highest) * scores)
        after = torch.from_numpy(result).to(before.device, before.dtype)
        item[self.pred_key] = MetaTensor(after).copy_meta_from(before) if isinstance(before, MetaTensor) else after
        return item

    def _judge(
        self, network: nn.Module, image: npt.NDArray[Any], affine: npt.NDArray[np.float64], found: Components
    ) -> npt.NDArray[np.float32]:
        """Return the second network's probability of every finding ``(n,)``."""
        device = next(network.parameters()).device
        offsets = self.grid.offsets_mm()
        training = network.training
        network.eval()
        scores = []
        with torch.inference_mode():
            for start in range(0, len(found), self.batch_size):
                centers = found.centers[start : start + self.batch_size]
                cubes = [cut_cubes(image, affine, to_world(affine, at), offsets, self.grid.fill) for at in centers]
                batch = torch.from_numpy(np.clip(np.stack(cubes), *self.window)).to(device)
                scores.append(network(batch)[:, 0].float().sigmoid().cpu().numpy())
        network.train(training)
        return np.concatenate(scores)


def _limit(
    probabilities: npt.NDArray[Any], highest: npt.NDArray[Any], found: Components, peaks: npt.NDArray[Any]
) -> None:
    """Lower the voxels of every finding to at most its new score, in place.

    Args:
        probabilities: ``(C, H, W, D)``, what is lowered.
        highest: ``(H, W, D)``, the highest of the channels.
        found: the findings in it.
        peaks: the new score of each.
    """
    limits = np.concatenate([[np.inf], peaks]).astype(probabilities.dtype)[found.labels]
    view = probabilities[(slice(None), *found.box)]
    if len(view) == 1:
        np.minimum(view[0], limits, out=view[0])
        return
    before = highest[found.box]
    view *= np.divide(limits, before, out=np.ones_like(before), where=limits < before)
