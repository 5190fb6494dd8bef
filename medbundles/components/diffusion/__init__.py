"""Diffusion MRI: from weighted volumes to maps that a network can see."""

from medbundles.components.diffusion.channels import SYNTHESIZED_DIRECTIONS, compute_channels, parse_channels
from medbundles.components.diffusion.tensor import DiffusionMaps, fit_tensor, world_directions
from medbundles.io.diffusion_channels import CHANNELS

__all__ = [
    "CHANNELS",
    "SYNTHESIZED_DIRECTIONS",
    "DiffusionMaps",
    "compute_channels",
    "fit_tensor",
    "parse_channels",
    "world_directions",
]
