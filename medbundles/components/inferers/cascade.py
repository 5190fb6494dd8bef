"""Two networks: a coarse look at the whole image says where the object is, a closer one what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from torch import Tensor, nn
from torch.nn import functional

from medbundles.checks.notices import notice
from medbundles.components.inferers.backends import PreparedNetworks
from medbundles.components.inferers.slice_stack import device_of
from medbundles.components.inferers.spaced import NOTHING
from medbundles.components.regions import Box3D
from medbundles.components.roi_box import box_with_margin, find_boxes
from medbundles.components.spaced_grid import SpacedGrid
from medbundles.errors import Finding
from medbundles.io.grids import spacing_of, voxel_volume_mm3

# The coarse network's images are filled up to multiples of this: four halvings.
MULTIPLE = 16
MM3_PER_ML = 1000.0


class CascadeInferer(Inferer):
    """Find the object in the whole image on coarse voxels, then let another inferer work in the box around it.

    Several objects, such as metastases, may have a box each. Where nothing is found the other inferer gets the whole
    image, and a notice (ROI001) says so. Without a coarse network it always does.

    Args:
        inferer: gets the box of the image, ``(1, C, h, w, d)`` with its affine, and returns logits ``(1, K, h, w, d)``.
        roi_network: coarse image ``(1, C, h, w, d)`` to one logit of being the object ``(1, 1, h, w, d)``; None: none.
        roi_spacing_mm: edge of its voxels, or three.
        margin: share of the object's size that is added at each side.
        smallest_mm: shortest edge of a box, one number or one an axis.
        smallest_ml: components that are smaller are specks, unless there is nothing else.
        backend: of the coarse network: ``auto``, ``eager``, ``channels_last`` or ``openvino``.
        amp: whether it computes in bfloat16 on a CPU.
    """

    def __init__(
        self,
        inferer: Inferer,
        roi_network: nn.Module | None = None,
        roi_spacing_mm: float | Sequence[float] = 3.0,
        margin: float = 0.2,
        smallest_mm: float | Sequence[float] = 24.0,
        smallest_ml: float = 0.0,
        backend: str = "auto",
        amp: bool = False,
    ) -> None:
        super().__init__()
        self.inferer = inferer
        self.roi_network = roi_network
        self.roi_spacing_mm = roi_spacing_mm
        self.margin = margin
        self.smallest_mm = smallest_mm
        self.smallest_ml = smallest_ml
        self._prepared = PreparedNetworks(backend, amp)

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Return logits ``(1, K, H, W, D)`` of one image ``(1, C, H, W, D)``; the background is the first channel.

        Args:
            inputs: the affine of a ``MetaTensor`` says how large the voxels are.
            network: passed to the inferer.
            *args: likewise.
            **kwargs: likewise.
        """
        if self.roi_network is None:
            return self._whole(inputs, network, *args, **kwargs)
        boxes = self.find(inputs)
        if not boxes:
            message = "the coarse look found no object: the whole image is looked at closely"
            fix = "look at the result with care; is it an image as those of the training?"
            notice(Finding("ROI001", "warning", message, fix, case=_case_of(inputs)))
            return self._whole(inputs, network, *args, **kwargs)
        result: Tensor | None = None
        for box in boxes:
            part = (slice(None), slice(None), *box)
            logits = _plain(self.inferer(_cut(inputs, box), network, *args, **kwargs))
            if result is None:
                result = logits.new_full((1, logits.shape[1], *inputs.shape[2:]), NOTHING)
                result[:, 0] = -NOTHING
            result[part] = logits
        assert result is not None
        return MetaTensor(result).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else result

    def find(self, inputs: Tensor) -> list[Box3D]:
        """Return the boxes to look at in an image ``(1, C, H, W, D)``, in its voxels; none where nothing is found."""
        assert self.roi_network is not None
        affine = _affine(inputs)
        shape, edges = tuple(inputs.shape[2:]), spacing_of(affine)
        grid = SpacedGrid(shape, edges, self.roi_spacing_mm)
        coarse = grid.forth(_plain(inputs))
        padded = _filled_up(coarse)
        device = device_of(self.roi_network)
        run = self._prepared.get(self.roi_network, tuple(padded.shape), device)
        with torch.no_grad():
            logits = run(padded.to(device)).cpu()[(0, 0, *map(slice, coarse.shape[2:]))]
        voxel_ml = voxel_volume_mm3(grid.affine(affine)) / MM3_PER_ML
        found = find_boxes((logits > 0).numpy(), voxel_ml, self.smallest_ml, self.margin, 1)
        wanted = self.smallest_mm if isinstance(self.smallest_mm, Sequence) else [self.smallest_mm] * 3
        smallest = [max(1, round(mm / edge)) for mm, edge in zip(wanted, edges, strict=True)]
        return [box_with_margin(_on_own_grid(box, grid), shape, 0.0, smallest) for box in found]

    def _whole(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        logits: Tensor = self.inferer(inputs, network, *args, **kwargs)
        return logits


def _on_own_grid(box: Box3D, grid: SpacedGrid) -> Box3D:
    """Return the voxels of a grid that a box of its new voxels touches."""
    parts = []
    sides = zip(box, grid.shape, grid.edges, grid.new_shape, grid.new_edges, strict=True)
    for part, count, edge, new_count, new_edge in sides:
        ratio = new_edge / edge
        low, high = ((end - new_count / 2) * ratio + count / 2 for end in (part.start, part.stop))
        parts.append(slice(max(0, int(low + 1e-6)), min(count, -int(-(high - 1e-6) // 1))))
    return parts[0], parts[1], parts[2]


def _cut(inputs: Tensor, box: Box3D) -> Tensor:
    part = _plain(inputs)[(slice(None), slice(None), *box)]
    if not isinstance(inputs, MetaTensor):
        return part
    affine = torch.as_tensor(_affine(inputs)).clone()
    starts = torch.tensor([float(side.start) for side in box], dtype=affine.dtype)
    affine[:3, 3] += affine[:3, :3] @ starts
    return MetaTensor(part, affine=affine[None])


def _affine(inputs: Tensor) -> Any:
    if not isinstance(inputs, MetaTensor):
        return torch.eye(4, dtype=torch.float64).numpy()
    affine = inputs.affine if inputs.affine.ndim == 2 else inputs.affine[0]
    return affine.cpu().double().numpy()


def _filled_up(image: Tensor) -> Tensor:
    """Append what the image's end has until its sizes are multiples."""
    pads: list[int] = []
    for size in reversed(image.shape[2:]):
        pads += [0, -size % MULTIPLE]
    return functional.pad(image, pads, mode="replicate") if any(pads) else image


def _case_of(inputs: Tensor) -> str | None:
    name = inputs.meta.get("case") if isinstance(inputs, MetaTensor) else None
    return str(name[0] if isinstance(name, list) else name) if name else None


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
