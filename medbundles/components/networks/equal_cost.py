"""Widths with which every way to fuse contrasts costs the same."""

from __future__ import annotations

import functools
import json
from typing import Any

from medbundles.components.networks.backbone import Arguments, Backbone
from medbundles.components.networks.backbones import find_backbone
from medbundles.components.networks.fusions import build_fusion
from medbundles.components.networks.network_choices import Fusion
from medbundles.components.networks.network_cost import count_multiplications
from medbundles.errors import ConfigurationError

TOLERANCE = 0.2  # how far costs called equal may be apart
EDGE = 64  # voxels; the block whose cost is compared


def equal_cost_arguments(
    backbone: Backbone,
    fusion: Fusion,
    spatial_dims: int,
    contrasts: int,
    regions: int,
    arguments: Arguments,
    equal_cost: bool = True,
) -> dict[str, Any]:
    """Return arguments for what each contrast has to itself: its encoder (``feature``), its network (``decision``).

    Of all whole widths that one is taken with which the multiplications of a forward pass on a block of 64 voxels an
    edge are closest to those of ``input`` with the given arguments.

    Raises:
        ConfigurationError: the closest is more than a fifth away.
    """
    if fusion == "input" or not equal_cost:
        return dict(arguments)
    width = _equal_width(backbone.name, fusion, spatial_dims, contrasts, regions, json.dumps(arguments))
    return backbone.with_width(arguments, width)


def relative_cost(
    backbone: Backbone,
    fusion: Fusion,
    spatial_dims: int,
    contrasts: int,
    regions: int,
    arguments: Arguments,
    path_arguments: Arguments,
) -> float:
    """Return the multiplications of a forward pass as a share of those of ``input`` with the given arguments."""

    def cost(kind: Fusion, own: Arguments) -> float:
        build = functools.partial(build_fusion, backbone, kind, spatial_dims, contrasts, regions, arguments, own)
        return count_multiplications(build, (1, contrasts, *[EDGE] * spatial_dims), (1, contrasts))

    return cost(fusion, path_arguments) / cost("input", arguments)


@functools.cache
def _equal_width(name: str, fusion: Fusion, spatial_dims: int, contrasts: int, regions: int, arguments: str) -> int:
    """Search downwards from the square root of the number of contrasts, where cost would be equal if nothing else was.

    Cost grows with width: the search ends as soon as costs enclose the wanted one.
    """
    backbone = find_backbone(name)
    shared = json.loads(arguments)
    full = backbone.width(shared)

    @functools.cache
    def share(width: int) -> float:
        own = backbone.with_width(shared, width)
        return relative_cost(backbone, fusion, spatial_dims, contrasts, regions, shared, own)

    width: int = max(1, min(full, round(full / contrasts**0.5)))
    while width < full and share(width) < 1.0:
        width += 1
    while width > 1 and share(width) > 1.0:
        width -= 1
    best = min((each for each in (width, width + 1) if each <= full), key=lambda each: abs(share(each) - 1.0))
    if abs(share(best) - 1.0) > TOLERANCE:
        message = f"network {name}, fusion {fusion}: with {best} channels for each of {contrasts} contrasts it costs"
        fix = f"set equal_cost to false, or another {backbone.width_name} than {shared[backbone.width_name]}"
        raise ConfigurationError(f"{message} {share(best):.2f} times what fusion input costs; {fix}")
    return best
