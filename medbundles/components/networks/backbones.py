"""The backbones by their names in configurations."""

from __future__ import annotations

from collections.abc import Mapping

from medbundles.components.networks.backbone import Backbone
from medbundles.components.networks.basic_unet_backbone import BasicUNetBackbone
from medbundles.components.networks.network_choices import refuse_unknown
from medbundles.components.networks.segresnet_backbone import SegResNetBackbone
from medbundles.components.networks.swin_unetr_backbone import SwinUNETRBackbone
from medbundles.components.networks.unet_backbone import UNetBackbone

BACKBONES: Mapping[str, Backbone] = {
    backbone.name: backbone
    for backbone in (UNetBackbone(), BasicUNetBackbone(), SegResNetBackbone(), SwinUNETRBackbone())
}


def find_backbone(name: str) -> Backbone:
    """Return the backbone of that name.

    Raises:
        ConfigurationError: there is none; the known ones are named.
    """
    refuse_unknown("backbone", name, BACKBONES)
    return BACKBONES[name]
