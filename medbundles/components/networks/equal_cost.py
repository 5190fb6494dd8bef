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

CLOSE = 0.1  # no closer width is looked for
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

    The multiplications of a forward pass on a block of 64 voxels an edge are compared with those of ``input`` with the
    given arguments. Widths are whole numbers: one within 10 % is taken, else the closest.

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
    shape = (spatial_dims, contrasts, regions)
    shared, own = json.dumps(arguments), json.dumps(path_arguments)
    return _cost(backbone.name, fusion, *shape, shared, own) / _cost(backbone.name, "input", *shape, shared, shared)


@functools.cache
def _cost(
    name: str, fusion: Fusion, spatial_dims: int, contrasts: int, regions: int, arguments: str, path_arguments: str
) -> float:
    shared, own = json.loads(arguments), json.loads(path_arguments)
    # Networks of a decision are alike: one stands for all.
    counted = 1 if fusion == "decision" else contrasts
    backbone = find_backbone(name)
    build = functools.partial(build_fusion, backbone, fusion, spatial_dims, counted, regions, shared, own)
    cost = count_multiplications(build, (1, counted, *[EDGE] * spatial_dims), (1, counted))
    return cost * contrasts / counted


@functools.cache
def _equal_width(name: str, fusion: Fusion, spatial_dims: int, contrasts: int, regions: int, arguments: str) -> int:
    """Search from where costs would be equal if they grew with the square of the width and nothing was shared."""
    backbone = find_backbone(name)
    shared = json.loads(arguments)
    full = backbone.width(shared)

    def share(width: int) -> float:
        own = backbone.with_width(shared, width)
        return relative_cost(backbone, fusion, spatial_dims, contrasts, regions, shared, own)

    width: int = max(1, min(full, round(full / contrasts**0.5)))
    step = 1 if share(width) < 1.0 else -1
    while abs(share(width) - 1.0) > CLOSE:
        following = width + step
        if not 1 <= following <= full or abs(share(following) - 1.0) >= abs(share(width) - 1.0):
            break
        width = following
    if abs(share(width) - 1.0) > TOLERANCE:
        message = f"network {name}, fusion {fusion}: with {width} channels for each of {contrasts} contrasts it costs"
        fix = f"set equal_cost to false, or another {backbone.width_name} than {shared[backbone.width_name]}"
        raise ConfigurationError(f"{message} {share(width):.2f} times what fusion input costs; {fix}")
    return width
