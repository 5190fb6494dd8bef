"""Augmentation of whole batches on the device where they are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbundles.components.transforms.item_affines import ItemAffines, affine_grid, center_start
from medbundles.errors import ConfigurationError


class SegmentationAugmentation(nn.Module):
    """Flip, rotate, scale and shift every item of a batch by a transform of its own; add noise to the images.

    Images are sampled bilinearly, labels by nearest neighbor with the same grid, once each. What lies outside the
    input becomes ``fill`` in images and 0 in labels: nothing is smeared from the border. Every random number comes
    from torch's global generators (geometry from the CPU's, so that it is the same on every device), which the
    per-epoch reseeding makes reproducible. In evaluation mode only the center crop remains.

    Source: the augmentation module of "Deep Learning with PyTorch", chapter 13, where the offset had no effect, one
    transform served the whole batch and labels were padded by replication.

    Example:
        >>> augmentation = SegmentationAugmentation(spatial_dims=2, output_size=(64, 64))
        >>> image, label = torch.zeros(16, 7, 96, 96), torch.zeros(16, 1, 96, 96)
        >>> tuple(tensor.shape[2:] for tensor in augmentation(image, label))
        (torch.Size([64, 64]), torch.Size([64, 64]))

    Args:
        spatial_dims: 2 for ``(B, C, H, W)``, 3 for ``(B, C, H, W, D)``.
        output_size: spatial size of the result; the default keeps the input's. It may not exceed the input's.
        input_size: when given, only batches of this spatial size are cut to ``output_size``; others (whole slices
            among crops) keep their size.
        flip: probability of a flip along each axis of ``flip_axes``.
        flip_axes: spatial axes that may be flipped; the default is all of them.
        offset: largest shift along each axis, as a fraction of the output size.
        scale: largest relative change of size: objects grow or shrink by a factor in ``[1 - scale, 1 + scale]``.
        rotation: largest angle in degrees, both ways; 180 covers the full turn.
        rotation_axis: 3D only: the spatial axis to rotate about. The other two must have the same voxel spacing.
        noise: standard deviation of Gaussian noise, in image units (25 HU in the reference system).
        intensity_shift: largest value added to a whole item, both ways, in image units; 0 switches it off.
        intensity_scale: largest relative change of an item's intensities; 0 switches it off.
        fill: image value outside the input (air: -1000 HU).
        keep_inside: where the output is smaller than the input, limit scale and offset of each item so that every
            output pixel comes from inside the input and no padding is needed.

    Raises:
        ConfigurationError: an argument out of its range; all of them are named.
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        output_size: Sequence[int] | None = None,
        input_size: Sequence[int] | None = None,
        flip: float = 0.5,
        flip_axes: Sequence[int] | None = None,
        offset: float = 0.1,
        scale: float = 0.2,
        rotation: float = 180.0,
        rotation_axis: int = 2,
        noise: float = 25.0,
        intensity_shift: float = 0.0,
        intensity_scale: float = 0.0,
        fill: float = -1000.0,
        keep_inside: bool = True,
    ) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims
        self.output_size = None if output_size is None else tuple(output_size)
        self.input_size = None if input_size is None else tuple(input_size)
        self.flip = flip
        self.flip_axes = tuple(range(spatial_dims)) if flip_axes is None else tuple(flip_axes)
        self.offset = offset
        self.scale = scale
        self.rotation = rotation
        self.rotation_axis = rotation_axis
        self.noise = noise
        self.intensity_shift = intensity_shift
        self.intensity_scale = intensity_scale
        self.fill = fill
        self.keep_inside = keep_inside
        if mistakes := self._mistakes():
            raise ConfigurationError("SegmentationAugmentation: " + "; ".join(mistakes))

    def _mistakes(self) -> list[str]:
        sizes = [("output_size", self.output_size), ("input_size", self.input_size)]
        wrong = [
            f"{name} needs {self.spatial_dims} positive numbers, found {list(size)}"
            for name, size in sizes
            if size is not None and (len(size) != self.spatial_dims or min(size) < 1)
        ]
        axes = [*self.flip_axes, *([self.rotation_axis] if self.spatial_dims == 3 else [])]
        checks = {
            f"spatial_dims must be 2 or 3, found {self.spatial_dims}": self.spatial_dims in (2, 3),
            f"axes must lie in 0..{self.spatial_dims - 1}, found {axes}": all(0 <= a < self.spatial_dims for a in axes),
            f"flip is a probability, found {self.flip}": 0 <= self.flip <= 1,
            f"scale must lie in [0, 1), found {self.scale}": 0 <= self.scale < 1,
            f"intensity_scale must lie in [0, 1), found {self.intensity_scale}": 0 <= self.intensity_scale < 1,
            "offset, rotation, noise and intensity_shift must not be negative": min(
                self.offset, self.rotation, self.noise, self.intensity_shift
            )
            >= 0,
        }
        return wrong + [message for message, right in checks.items() if not right]

    def forward(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return a transformed image and its label.

        Args:
            image: ``(B, C, H, W)`` or ``(B, C, H, W, D)``, floating point, in image units.
            label: the same batch and spatial size, any number of channels, any type.

        Returns:
            plain tensors on the input's device; the image keeps its type if it is a float, the label always does.

        Raises:
            ConfigurationError: the shapes do not fit each other or the arguments.
        """
        size = self._check(image, label)
        target = self._target_size(size)
        image, label = _plain(image), _plain(label)
        if not self.training:
            corner = center_start(size, target)
            window: list[Any] = [slice(start, start + extent) for start, extent in zip(corner, target, strict=True)]
            return image[(..., *window)], label[(..., *window)]
        grid = affine_grid(self._draw(len(image), size, target), size, target).to(image.device)
        dtype = image.dtype if image.is_floating_point() else torch.float32
        moved = self._sample(image.float() - self.fill, grid, "bilinear") + self.fill
        return self._vary_intensity(moved).to(dtype), self._sample(label.float(), grid, "nearest").to(label.dtype)

    def extra_repr(self) -> str:
        """Show the arguments that shape the result."""
        return f"spatial_dims={self.spatial_dims}, output_size={self.output_size}, noise={self.noise}"

    @staticmethod
    def _sample(tensor: Tensor, grid: Tensor, mode: str) -> Tensor:
        return functional.grid_sample(tensor, grid, mode=mode, padding_mode="zeros", align_corners=False)

    def _draw(self, items: int, size: Sequence[int], target: Sequence[int]) -> ItemAffines:
        axis = self.rotation_axis if self.spatial_dims == 3 else None
        affines = ItemAffines.draw(
            items,
            target,
            flip=self.flip,
            flip_axes=self.flip_axes,
            offset=self.offset,
            scale=self.scale,
            rotation=self.rotation,
            rotation_axis=axis,
        )
        smaller = any(t < s for t, s in zip(target, size, strict=True))
        return affines.kept_inside(size, target) if self.keep_inside and smaller else affines

    def _vary_intensity(self, image: Tensor) -> Tensor:
        shape = (len(image),) + (1,) * (image.ndim - 1)
        if self.intensity_scale:
            image = image * (1.0 + self.intensity_scale * _symmetric(shape)).to(image.device)
        if self.intensity_shift:
            image = image + (self.intensity_shift * _symmetric(shape)).to(image.device)
        return image + self.noise * torch.randn_like(image) if self.noise else image

    def _target_size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        if self.output_size is None or (self.input_size is not None and size != self.input_size):
            return size
        if any(t > s for t, s in zip(self.output_size, size, strict=True)):
            raise ConfigurationError(f"output_size {list(self.output_size)} exceeds the input's {list(size)}")
        return self.output_size

    def _check(self, image: Tensor, label: Tensor) -> tuple[int, ...]:
        if image.ndim != self.spatial_dims + 2 or label.ndim != image.ndim:
            raise ConfigurationError(
                f"expected {self.spatial_dims + 2} axes (batch, channel, {self.spatial_dims} spatial), found image "
                f"{tuple(image.shape)} and label {tuple(label.shape)}"
            )
        if image.shape[0] != label.shape[0] or image.shape[2:] != label.shape[2:]:
            raise ConfigurationError(
                f"image {tuple(image.shape)} and label {tuple(label.shape)} must agree in all but their channels"
            )
        return tuple(image.shape[2:])


def _symmetric(shape: Sequence[int]) -> Tensor:
    return 2.0 * torch.rand(*shape) - 1.0


def _plain(tensor: Tensor) -> Tensor:
    # A MetaTensor's affine would be wrong after the transform, and its bookkeeping costs more than the sampling.
    as_tensor: Any = getattr(tensor, "as_tensor", None)
    return as_tensor() if as_tensor is not None else tensor
