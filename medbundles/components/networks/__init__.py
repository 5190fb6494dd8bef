"""Networks: built by name, described as plain data, rebuilt from that description."""

from medbundles.components.networks.builder import build_network, describe_network, network_from_model, start_from
from medbundles.components.networks.contrast_network import BACKBONES, ContrastNetwork
from medbundles.components.networks.deep_supervision import DeepSupervision, of_all_levels
from medbundles.components.networks.fast_layers import ChannelNorm, PointwiseConvolution, with_fast_layers
from medbundles.components.networks.headed_unet import HeadedUNet
from medbundles.components.networks.input_normalized import InputNormalized
from medbundles.components.networks.joined_networks import (
    JoinedNetworks,
    describe_joined,
    learned_combination,
    learned_description,
    read_joined,
)
from medbundles.components.networks.memory_format import MemoryFormat, to_memory_format
from medbundles.components.networks.plain_unet import PlainUNet
from medbundles.components.networks.slice_discriminator import SliceDiscriminator, select_slices
from medbundles.components.networks.squeeze_excitation_unet import SqueezeExcitationUNet
from medbundles.components.networks.vox2vox import Vox2VoxGenerator
from medbundles.components.networks.weights import load_weights, read_weights

__all__ = [
    "BACKBONES",
    "ChannelNorm",
    "ContrastNetwork",
    "DeepSupervision",
    "HeadedUNet",
    "InputNormalized",
    "JoinedNetworks",
    "MemoryFormat",
    "PlainUNet",
    "PointwiseConvolution",
    "SliceDiscriminator",
    "SqueezeExcitationUNet",
    "Vox2VoxGenerator",
    "build_network",
    "describe_joined",
    "describe_network",
    "learned_combination",
    "learned_description",
    "load_weights",
    "network_from_model",
    "of_all_levels",
    "read_joined",
    "read_weights",
    "select_slices",
    "start_from",
    "to_memory_format",
    "with_fast_layers",
]
