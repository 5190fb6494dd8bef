"""Forward passes in mixed precision, on a GPU or on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = frozenset(
    {
        *(torch.conv1d, torch.conv2d, torch.conv3d),
        *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
    }
)


@contextmanager
def mixed_precision(device_type: str, enabled: bool = True, **options: Any) -> Iterator[None]:
    """Compute what follows in mixed precision where that is exact enough: ``torch.autocast``, made safe on a CPU.

    oneDNN's gradients of weights in bfloat16 are whatever was in memory, up to 1e35 or NaN, where a kernel is larger
    than the image it passes over, as at the coarsest level of a network on small blocks (seen with PyTorch 2.13 on
    AVX512: kernel 3 on 2 voxels, 4 on 3, 5 on 4). Such convolutions are computed in float32; they are small.

    Args:
        device_type: ``cuda`` or ``cpu``.
        enabled: false computes as if this were not there.
        **options: of ``torch.autocast``; by default float16 on CUDA, bfloat16 on a CPU.
    """
    small = _SmallInSinglePrecision() if enabled and device_type == "cpu" else nullcontext()
    with torch.autocast(device_type, enabled=enabled, **options), small:
        yield


class _SmallInSinglePrecision(TorchFunctionMode):
    """Takes convolutions out of autocast whose kernel is longer than their image along any axis."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func not in CONVOLUTIONS or len(args) < 2 or not _is_small(*args[:2]):
            return func(*args, **options)
        with torch.autocast("cpu", enabled=False):
            return func(args[0].float(), *args[1:], **options)


def _is_small(image: Tensor, weight: Tensor) -> bool:
    edges, kernel = image.shape[2:], weight.shape[2:]
    return any(edge < size for edge, size in zip(edges, kernel, strict=True))
