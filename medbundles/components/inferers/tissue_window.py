"""Sliding windows over volumes, only where there is something to see."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import torch
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers.inferer import SlidingWindowInferer
from monai.utils import ensure_tuple_rep, fall_back_tuple
from rich.console import Console
from rich.progress import track
from torch.nn import functional

from medbundles.components.inferers.backends import PreparedNetworks, Runner
from medbundles.components.inferers.memory import ShrinkingRunner
from medbundles.components.inferers.slice_stack import device_of

FindForeground: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
Window: TypeAlias = tuple[slice, ...]


def nonzero(image: torch.Tensor) -> torch.Tensor:
    """Return where any channel of ``(C, ...)`` differs from zero, as ``(...)``: the inside of a stripped skull."""
    return (image != 0).any(dim=0)


class TissueWindowInferer(SlidingWindowInferer):
    """MONAI's ``SlidingWindowInferer`` without the windows that hold no tissue, on any backend.

    Wherever there is tissue the result is MONAI's: every window that covers such a voxel is run. Other voxels get the
    mean of the windows that were run over them, and ``outside_value`` where none was.

    Args:
        roi_size: window; an axis that is not positive takes the image's whole extent.
        sw_batch_size: windows a batch.
        overlap: share of a window that the next one covers again, ``[0, 1)``; one number or one an axis.
        mode: ``gaussian`` or ``constant`` blending.
        sigma_scale: width of the Gaussian in window sizes.
        padding_mode: how images smaller than a window are filled up.
        cval: value for constant padding.
        foreground: image ``(C, ...)`` to mask ``(...)``: where there is tissue.
        crop_to_foreground: lay the windows over the tissue's bounding box instead of the whole image: fewer windows,
            at other places than MONAI's.
        outside_value: result of voxels that no window was run over.
        backend: ``auto``, ``eager``, ``channels_last`` or ``openvino``.
        device: where the result is stitched; default: where the input lies.
        progress: show a bar on a terminal.
        amp: on a CPU compute in bfloat16; on other devices the engine's own ``amp`` decides.
    """

    def __init__(
        self,
        roi_size: Sequence[int] | int,
        sw_batch_size: int = 1,
        overlap: Sequence[float] | float = 0.25,
        mode: str = "gaussian",
        sigma_scale: Sequence[float] | float = 0.125,
        padding_mode: str = "constant",
        cval: float = 0.0,
        foreground: FindForeground = nonzero,
        crop_to_foreground: bool = False,
        outside_value: float = 0.0,
        backend: str = "auto",
        device: torch.device | str | None = None,
        progress: bool = False,
        amp: bool = False,
    ) -> None:
        super().__init__(
            roi_size, sw_batch_size, overlap, mode, sigma_scale, padding_mode, cval, device=device, progress=progress
        )
        self.foreground = foreground
        self.crop_to_foreground = crop_to_foreground
        self.outside_value = outside_value
        self._networks = PreparedNetworks(backend, amp)

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the stitched output ``(B, K, ...)`` for images ``(B, C, ...)`` with two or three spatial axes.

        Args:
            inputs: images; a ``MetaTensor`` passes its meta data on.
            network: ``(n, C, *roi_size) -> (n, K, *roi_size)``.
            *args: passed to the network; only the eager backend takes any.
            **kwargs: likewise.
        """
        images = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        size = fall_back_tuple(self.roi_size, images.shape[2:])

        def call_with_arguments(batch: torch.Tensor) -> Any:
            return network(batch, *args, **kwargs)

        if args or kwargs:
            runner: Runner = call_with_arguments
        else:
            runner = self._networks.get(network, (1, images.shape[1], *size), device_of(network))
        # Windows keep their size, which the network was trained on; there are fewer at once where memory runs out.
        runner = ShrinkingRunner(runner, tiles=False)
        with torch.no_grad():
            result = torch.stack([self._image(image, size, runner, device_of(network)) for image in images])
        return MetaTensor(result).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else result

    def _image(
        self, image: torch.Tensor, size: Sequence[int], runner: Runner, network_device: torch.device
    ) -> torch.Tensor:
        """Return the stitched output ``(K, ...)`` of one image ``(C, ...)``."""
        mask = self.foreground(image)
        box = _grown(_bounding_box(mask), size, mask.shape) if self.crop_to_foreground else _whole(mask.shape)
        part, inside = _filled_up(image[(slice(None), *box)], size, self.padding_mode, self.cval)
        occupied, _ = _filled_up(mask[box][None].to(torch.uint8), size, "constant", 0)
        blended = self._blend(part, occupied[0] > 0, size, runner, network_device)[(slice(None), *inside)]
        if tuple(blended.shape[1:]) == tuple(mask.shape):
            return blended
        result = blended.new_full((len(blended), *mask.shape), self.outside_value)
        result[(slice(None), *box)] = blended
        return result

    def _blend(
        self,
        image: torch.Tensor,
        mask: torch.Tensor,
        size: Sequence[int],
        runner: Runner,
        network_device: torch.device,
    ) -> torch.Tensor:
        target = torch.device(self.device or image.device)
        weight = compute_importance_map(tuple(size), mode=self.mode, sigma_scale=self.sigma_scale, device=target)
        windows = [window for window in self._windows(mask.shape, size) if bool(mask[window].any())]
        total: torch.Tensor | None = None
        counted = torch.zeros(mask.shape, device=target)
        for batch in self._batches(windows):
            stack = torch.stack([image[(slice(None), *window)] for window in batch])
            outputs = runner(stack.to(network_device, torch.float32)).to(target, torch.float32)
            if total is None:
                total = torch.zeros((outputs.shape[1], *mask.shape), device=target)
            for window, output in zip(batch, outputs, strict=True):
                total[(slice(None), *window)] += output * weight
                counted[window] += weight
        if total is None:
            # How many channels the network has, only it can say.
            example = runner(torch.zeros((1, len(image), *size), device=network_device))
            total = torch.zeros((example.shape[1], *mask.shape), device=target)
        seen = counted > 0
        total /= counted.where(seen, torch.ones_like(counted))
        return total.where(seen, torch.full_like(total, self.outside_value))

    def _windows(self, shape: Sequence[int], size: Sequence[int]) -> list[Window]:
        """Return MONAI's windows over an image of a shape."""
        overlaps = ensure_tuple_rep(self.overlap, len(shape))
        steps = [
            extent if extent == whole else max(1, int(extent * (1 - overlap)))
            for extent, whole, overlap in zip(size, shape, overlaps, strict=True)
        ]
        return list(dense_patch_slices(tuple(shape), tuple(size), tuple(steps), return_slice=True))

    def _batches(self, windows: list[Window]) -> Iterable[list[Window]]:
        count = max(1, int(self.sw_batch_size))
        batches = [windows[start : start + count] for start in range(0, len(windows), count)]
        shown = self.progress and sys.stderr.isatty()
        return track(batches, "windows", console=Console(stderr=True), transient=True, disable=not shown)


def _whole(shape: Sequence[int]) -> Window:
    return tuple(slice(0, extent) for extent in shape)


def _bounding_box(mask: torch.Tensor) -> Window:
    """Return the box of a mask, the whole image when it is empty."""
    positions = mask.nonzero()
    if not len(positions):
        return _whole(mask.shape)
    low, high = positions.amin(dim=0), positions.amax(dim=0) + 1
    return tuple(slice(int(first), int(last)) for first, last in zip(low, high, strict=True))


def _grown(box: Window, size: Sequence[int], shape: Sequence[int]) -> Window:
    """Return the box with at least the window's size where the image has it: real context instead of padding."""
    grown = []
    for part, extent, whole in zip(box, size, shape, strict=True):
        length = min(max(part.stop - part.start, extent), whole)
        start = min(max(0, part.start - (length - (part.stop - part.start)) // 2), whole - length)
        grown.append(slice(start, start + length))
    return tuple(grown)


def _filled_up(image: torch.Tensor, size: Sequence[int], mode: str, value: float) -> tuple[torch.Tensor, Window]:
    """Pad ``(C, ...)`` to at least a window on both sides, as MONAI does; also return where the image lies in it."""
    missing = [max(extent - whole, 0) for extent, whole in zip(size, image.shape[1:], strict=True)]
    inside = tuple(slice(lack // 2, lack // 2 + whole) for lack, whole in zip(missing, image.shape[1:], strict=True))
    if not any(missing):
        return image, inside
    pads = [pad for lack in reversed(missing) for pad in (lack // 2, lack - lack // 2)]
    fill = value if mode == "constant" else None
    return functional.pad(image[None], pads, mode=mode, value=fill)[0], inside
