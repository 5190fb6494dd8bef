"""Training steps of MONAI's supervised trainer in bfloat16 on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers.inferer import Inferer

from medbundles.components.mixed_precision import mixed_precision


class MixedPrecisionInferer(Inferer):
    """Run the network as it is, on a CPU in bfloat16 where that is asked for; what comes out is float32.

    MONAI's trainers know mixed precision on CUDA alone. Weights, losses and optimizers stay float32; bfloat16 has the
    range of float32 and needs no scaling of gradients.

    Args:
        enabled: whether to compute in bfloat16 on a CPU; on other devices the engine's own ``amp`` decides.
    """

    def __init__(self, enabled: bool = True) -> None:
        super().__init__()
        self.enabled = enabled

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output for ``inputs`` as float32: a tensor, or the list that it gave."""
        with mixed_precision("cpu", enabled=self.enabled and inputs.device.type == "cpu"):
            output = network(inputs, *args, **kwargs)
        return [each.float() for each in output] if isinstance(output, list) else output.float()
