"""2.5D inference on whole CT volumes: every slice with its neighbors as channels."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from rich.console import Console
from rich.progress import track
from torch import nn
from torch.nn import functional

from medbundles.components.inferers.backends import PreparedNetworks, Runner
from medbundles.components.inferers.memory import ShrinkingRunner
from medbundles.components.inferers.tissue import Box, Tissue
from medbundles.io.images import spacing_of

FindTissue: TypeAlias = Callable[[torch.Tensor, Sequence[float]], Tissue | None]


class SliceStackInferer(Inferer):
    """Runs a 2D network over a volume, slices along the last axis, ``slices`` neighbors as channels.

    Beyond the volume's ends the first or last slice is repeated ("Deep Learning with PyTorch", chapter 13). Only the
    box of the tissue is looked at; voxels outside of the tissue get ``outside_logit``. Inside of it the result is
    that of whole slices, but for the network's view across the box's border: normalization layers must not depend on
    the image's size (batch normalization in evaluation mode does not, instance normalization does).

    Memory: the input, the output and one batch; stacks are gathered batch by batch. When memory runs out, batches are
    halved and then slices are cut into overlapping tiles, both announced (TRN004).

    Args:
        slices: odd number of slices, the network's input channels.
        batch_size: slices a batch.
        backend: ``auto``, ``eager``, ``channels_last`` or ``openvino`` (see ``backends.py``).
        tissue: ``(volume (H, W, D) HU, spacing mm) -> tissue or None``, such as
            :func:`medbundles.components.inferers.find_lungs`; without it every voxel is looked at.
        divisible: in-plane sizes become multiples of this; repeated edge voxels fill up what the volume lacks.
        outside_logit: value of voxels outside of the tissue; -20 is a probability of 2e-9.
        intensity_range: values are clamped to this; ``None`` leaves them as they were read and clamped before.
        output_dtype: ``float32``, or ``float16`` to halve the output's memory (logits then have three digits).
        progress: show a bar on a terminal.

    Raises:
        ValueError: ``slices`` is even or not positive.
    """

    def __init__(
        self,
        slices: int = 7,
        batch_size: int = 4,
        backend: str = "auto",
        tissue: FindTissue | None = None,
        divisible: int = 16,
        outside_logit: float = -20.0,
        intensity_range: tuple[float, float] | None = None,
        output_dtype: str = "float32",
        progress: bool = False,
    ) -> None:
        super().__init__()
        if slices < 1 or slices % 2 == 0:
            raise ValueError(f"slices must be odd and positive, got {slices}")
        if output_dtype not in ("float32", "float16"):
            raise ValueError(f"output_dtype must be float32 or float16, got {output_dtype}")
        self.slices = slices
        self.batch_size = max(1, batch_size)
        self.tissue = tissue
        self.divisible = divisible
        self.outside_logit = outside_logit
        self.intensity_range = intensity_range
        self.output_dtype = torch.float16 if output_dtype == "float16" else torch.float32
        self.progress = progress
        self._networks = PreparedNetworks(backend)

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return logits ``(B, C, H, W, D)`` for volumes ``(B, 1, H, W, D)`` in HU of any real type.

        Args:
            inputs: volumes; a ``MetaTensor`` passes its meta data on. They may stay on the CPU whatever the
                network's device is.
            network: ``(n, slices, h, w) -> (n, C, h, w)``.
            *args: passed to the network; only the eager backend takes any.
            **kwargs: likewise.

        Raises:
            ValueError: not one channel and three spatial axes.
            EnvironmentFailure: not even one small tile fits into memory (TRN004).
        """
        if inputs.ndim != 5 or inputs.shape[1] != 1:
            raise ValueError(f"expected volumes (B, 1, H, W, D), got {tuple(inputs.shape)}")
        runner = self._runner(network, args, kwargs)
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        with torch.no_grad():
            outputs = [self._volume(volume[0], _spacing(inputs), runner, device_of(network)) for volume in volumes]
        logits = outputs[0][None] if len(outputs) == 1 else torch.stack(outputs)
        return MetaTensor(logits).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else logits

    def _runner(self, network: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> ShrinkingRunner:
        if args or kwargs:

            def run(batch: torch.Tensor) -> Any:
                return network(batch, *args, **kwargs)

            runner: Runner = run
        else:
            size = 4 * self.divisible
            runner = self._networks.get(network, (1, self.slices, size, size), device_of(network))
        return ShrinkingRunner(runner, divisible=self.divisible)

    def _volume(
        self, volume: torch.Tensor, spacing: Sequence[float], runner: ShrinkingRunner, device: torch.device
    ) -> torch.Tensor:
        """Return the logits ``(C, H, W, D)`` of one volume ``(H, W, D)``."""
        everything: Box = (slice(0, volume.shape[0]), slice(0, volume.shape[1]), slice(0, volume.shape[2]))
        tissue = self.tissue(volume, spacing) if self.tissue else None
        box = everything if tissue is None else tissue.box
        rows, columns = (_widened(box[axis], volume.shape[axis], self.divisible) for axis in (0, 1))
        output: torch.Tensor | None = None
        for levels in self._progress(_batches(box[2], self.batch_size)):
            batch = self._gather(volume, rows, columns, levels, device)
            logits = runner(batch)[..., : rows.stop - rows.start, : columns.stop - columns.start]
            if output is None:
                # Slices first in memory: a batch of results is then written in one piece.
                shape = (volume.shape[2], logits.shape[1], *volume.shape[:2])
                output = torch.full(shape, self.outside_logit, dtype=self.output_dtype, device=volume.device)
            wanted = range(levels[0], levels[-1] + 1)
            part = logits[: len(wanted)].to(output)
            if tissue is not None:
                inside = torch.from_numpy(tissue.inside(rows, columns, wanted)).to(part.device)
                part = part.where(inside[:, None], part.new_tensor(self.outside_logit))
            output[wanted.start : wanted.stop, :, rows, columns] = part
        assert output is not None  # a volume has at least one slice
        return output.permute(1, 2, 3, 0)

    def _gather(
        self, volume: torch.Tensor, rows: slice, columns: slice, levels: Sequence[int], device: torch.device
    ) -> torch.Tensor:
        """Return stacks ``(n, slices, h, w)`` float32 for the slices ``levels``, padded to the divisible size."""
        half, depth = self.slices // 2, volume.shape[2]
        low, high = max(levels[0] - half, 0), min(levels[-1] + half + 1, depth)
        slab = volume[rows, columns, low:high].to(device).permute(2, 0, 1).to(torch.float32)
        if self.intensity_range:
            slab = slab.clamp(*self.intensity_range)
        missing = [-size % self.divisible for size in slab.shape[1:]]
        if any(missing):
            slab = functional.pad(slab[None], (0, missing[1], 0, missing[0]), mode="replicate")[0]
        neighbors = np.add.outer(np.asarray(levels), np.arange(-half, half + 1)).clip(0, depth - 1) - low
        return slab[torch.from_numpy(neighbors).to(device)]

    def _progress(self, batches: list[list[int]]) -> Iterable[list[int]]:
        shown = self.progress and sys.stderr.isatty()
        return track(batches, "slices", console=Console(stderr=True), transient=True, disable=not shown)


def _spacing(inputs: torch.Tensor) -> tuple[float, float, float]:
    if not isinstance(inputs, MetaTensor):
        return 1.0, 1.0, 1.0
    affine = np.asarray(inputs.affine, dtype=np.float64)
    return spacing_of(affine[0] if affine.ndim == 3 else affine)


def device_of(network: Callable[..., Any]) -> torch.device:
    """Return where a network's weights lie; the CPU for anything without weights."""
    tensor = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    return torch.device("cpu") if tensor is None else tensor.device


def _widened(part: slice, size: int, divisible: int) -> slice:
    """Return the range widened to a multiple inside of the axis, or the whole axis when it is too short."""
    length = min(-(-(part.stop - part.start) // divisible) * divisible, size)
    start = min(max(0, part.start - (length - (part.stop - part.start)) // 2), size - length)
    return slice(start, start + length)


def _batches(levels: slice, batch_size: int) -> list[list[int]]:
    """Return the slice numbers batch by batch; the last batch is filled up by repeating its last slice.

    A smaller last batch would be another shape, which costs a compiling backend more than a few slices do.
    """
    numbers = list(range(levels.start, levels.stop))
    batches = [numbers[start : start + batch_size] for start in range(0, len(numbers), batch_size)]
    if len(batches) > 1:
        batches[-1] += batches[-1][-1:] * (batch_size - len(batches[-1]))
    return batches
