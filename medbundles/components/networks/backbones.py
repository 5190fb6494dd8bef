"""The backbones by their names in configurations."""

from __future__ import annotations

from collections.abc import Mapping

from medbundles.components.networks.backbone import Backbone
from medbundles.components.networks.network_choices import refuse_unknown
from medbundles.components.networks.unet_backbone import UNetBackbone

BACKBONES: Mapping[str, Backbone] = {backbone.name: backbone for backbone in (UNetBackbone(),)}


def find_backbone(name: str) -> Backbone:
    """Return the backbone of that name.

    Raises:
        ConfigurationError: there is none; the known ones are named.
    """
    refuse_unknown("backbone", name, BACKBONES)
    return BACKBONES[name]
