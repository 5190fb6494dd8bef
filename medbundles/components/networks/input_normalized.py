"""Input normalization learned with the network."""

from __future__ import annotations

from torch import Tensor, nn

from medbundles.errors import ConfigurationError


class InputNormalized(nn.Module):
    """A batch normalization of the input channels, then a network.

    Raw intensities (HU) go in; mean, variance, gain and bias of each channel are learned and stored with the weights,
    so training and inference can never normalize differently. Source: "Deep Learning with PyTorch", chapter 13.

    Args:
        network: takes ``(B, channels, H, W)`` or ``(B, channels, H, W, D)``.
        channels: number of input channels.
        spatial_dims: 2 or 3.

    Raises:
        ConfigurationError: ``spatial_dims`` is neither 2 nor 3.
    """

    def __init__(self, network: nn.Module, channels: int, spatial_dims: int = 2) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ConfigurationError(f"spatial_dims must be 2 or 3, found {spatial_dims}")
        self.normalization = nn.BatchNorm2d(channels) if spatial_dims == 2 else nn.BatchNorm3d(channels)
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's output (logits) for an image in its own units."""
        # Not typing.cast: TorchScript cannot express it.
        output: Tensor = self.network(self.normalization(image))
        return output
