"""Inference on whole images: only where there is tissue, by the fastest way the machine has."""

from medbundles.components.inferers.backends import BACKENDS, choose_backend, prepare_network
from medbundles.components.inferers.cascade import CascadeInferer
from medbundles.components.inferers.flip_mean import FlipMeanInferer
from medbundles.components.inferers.mixed_precision_inferer import MixedPrecisionInferer
from medbundles.components.inferers.slice_stack import SliceStackInferer
from medbundles.components.inferers.spaced import SpacedInferer
from medbundles.components.inferers.tissue import find_lung_box, find_lungs
from medbundles.components.inferers.tissue_window import TissueWindowInferer

__all__ = [
    "BACKENDS",
    "CascadeInferer",
    "FlipMeanInferer",
    "MixedPrecisionInferer",
    "SliceStackInferer",
    "SpacedInferer",
    "TissueWindowInferer",
    "choose_backend",
    "find_lung_box",
    "find_lungs",
    "prepare_network",
]
