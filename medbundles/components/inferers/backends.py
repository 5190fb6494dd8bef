"""Ways to run a network on whole images: as it is, with channels last in memory, or compiled by OpenVINO.

Measured on two CPU threads, float32, a residual 2D U-Net (16-128) on 512x512 slices: eager 1, channels last 0.8-1.2,
OpenVINO 0.5-0.6 of the time; on a plain U-Net 16-32-64: 1, 0.5 and 0.4 (benchmarks/lung_inference.py).
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from medbundles.components.mixed_precision import mixed_precision
from medbundles.errors import ConfigurationError, EnvironmentFailure

logger = logging.getLogger(__name__)

BackendName: TypeAlias = Literal["auto", "eager", "channels_last", "openvino"]
BACKENDS: tuple[BackendName, ...] = ("auto", "eager", "channels_last", "openvino")
Runner: TypeAlias = Callable[[torch.Tensor], Any]


def choose_backend(backend: str, device: torch.device | str = "cpu") -> BackendName:
    """Return the backend that ``auto`` means here, or the one asked for.

    Args:
        backend: one of :data:`BACKENDS`; ``auto`` is OpenVINO where it is installed and the device is the CPU, else
            ``channels_last``.
        device: where the network lies.

    Raises:
        ConfigurationError: no such backend, or OpenVINO with a network that is not on the CPU.
        EnvironmentFailure: OpenVINO was asked for and is not installed.
    """
    on_cpu = torch.device(device).type == "cpu"
    if backend == "auto":
        return "openvino" if on_cpu and importlib.util.find_spec("openvino") else "channels_last"
    for known in BACKENDS:
        if backend == known:
            break
    else:
        raise ConfigurationError(f"no backend {backend!r}; choose one of {', '.join(BACKENDS)}")
    if known == "openvino" and not on_cpu:
        raise ConfigurationError(f"backend openvino runs on the CPU, the network is on {device}; choose auto")
    if known == "openvino" and importlib.util.find_spec("openvino") is None:
        raise EnvironmentFailure("backend openvino needs a package; pip install 'medbundles[openvino]', or choose auto")
    return known


def prepare_network(
    network: Callable[..., Any],
    backend: str = "auto",
    example_shape: Sequence[int] = (1, 1, 64, 64),
    device: torch.device | str = "cpu",
    amp: bool = False,
) -> Runner:
    """Return a callable that runs ``network`` on float32 tensors ``(B, C, ...)`` by a backend.

    The network itself is never changed: weights keep their memory format, so that training goes on bit-equal.

    Args:
        network: a module in evaluation mode; anything else that is callable is called as it is.
        backend: one of :data:`BACKENDS`; ``auto`` goes on with channels last where OpenVINO cannot run the network.
        example_shape: a shape the network takes, two or three spatial axes; others may follow.
        device: where the network lies.
        amp: on a CPU compute in bfloat16; what comes out is float32.

    Raises:
        ConfigurationError: no such backend, or OpenVINO cannot run the network.
        EnvironmentFailure: OpenVINO was asked for and is not installed.
    """
    chosen = choose_backend(backend, device)
    amp = amp and torch.device(device).type == "cpu"
    if chosen == "eager" or not isinstance(network, nn.Module):
        return _in_mixed_precision(network) if amp else network
    if chosen == "openvino" and not network.training:
        try:
            return OpenVinoNetwork(network, example_shape, amp)
        except ConfigurationError as error:
            if backend != "auto":
                raise
            logger.warning("going on without OpenVINO: %s", error)
    runner = ChannelsLastNetwork(network)
    return _in_mixed_precision(runner) if amp else runner


def _in_mixed_precision(runner: Runner) -> Runner:
    """Return a runner that computes in bfloat16 on a CPU."""

    def run(batch: torch.Tensor) -> torch.Tensor:
        with mixed_precision("cpu"):
            output: torch.Tensor = runner(batch)
        return output.float()

    return run


class ChannelsLastNetwork:
    """A network whose inputs lie with their channels last in memory: what CPU convolutions and tensor cores want.

    Args:
        network: module that takes ``(B, C, H, W)`` or ``(B, C, H, W, D)``.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, batch: torch.Tensor) -> Any:
        """Return the network's output for ``batch``."""
        memory_format = torch.channels_last_3d if batch.ndim == 5 else torch.channels_last
        return self.network(batch.contiguous(memory_format=memory_format))


class OpenVinoNetwork:
    """A network compiled by OpenVINO for the CPU, any batch and image size.

    Args:
        network: module in evaluation mode that returns one tensor.
        example_shape: a shape it takes, for tracing.
        amp: compute in bfloat16 in the place of float32.

    Raises:
        ConfigurationError: the network cannot be traced or OpenVINO cannot convert it; or it says that it computes with
            the size of its input (``traces_one_size``), which a trace would keep for every other.
    """

    def __init__(self, network: nn.Module, example_shape: Sequence[int], amp: bool = False) -> None:
        openvino = _import_openvino()
        module = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
        if any(getattr(part, "traces_one_size", False) for part in module.modules()):
            reason = "it computes with the size of its input"
            raise ConfigurationError(f"OpenVINO cannot run this network ({reason}); choose another backend")
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Processors with bfloat16 units would use them unasked; logits then differ in the second decimal.
            "INFERENCE_PRECISION_HINT": "bf16" if amp else "f32",
        }
        failures = (RuntimeError, openvino.frontend.OpConversionFailure, openvino.frontend.GeneralFailure)
        try:
            self.compiled = openvino.Core().compile_model(_convert(module, example_shape), "CPU", options)
        except failures as error:
            reason = str(error).strip().splitlines()[-1]
            raise ConfigurationError(f"OpenVINO cannot run this network ({reason}); choose another backend") from error
        self.request = self.compiled.create_infer_request()

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the network's output for a float32 ``batch`` on the CPU.

        Raises:
            ConfigurationError: the network has not answered for every image: its trace keeps the number of them.
        """
        array = batch.detach().to(torch.float32).contiguous().numpy()
        output = self.request.infer({0: array}, share_inputs=True)[self.compiled.output(0)]
        if len(output) != len(array):
            message = f"OpenVINO answers for {len(output)} of {len(array)} images with this network"
            raise ConfigurationError(f"{message}; choose another --backend, or --batch_size 1")
        return torch.from_numpy(output)


def _import_openvino() -> Any:
    # OpenVINO reports every import and conversion to its makers over the network unless its reporting package is
    # absent. Software that reads patients' scans does not call anybody.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None means: cannot be imported
    import openvino

    return openvino


def _convert(module: nn.Module, example_shape: Sequence[int]) -> Any:
    """Return the OpenVINO model of a network.

    Ten times faster than ``openvino.convert_model``, which traces twice and converts what freezing would have folded.
    """
    from openvino import PartialShape, Type
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # Traced under inference_mode, a module keeps tensors that training cannot use any more.
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns about every shape that is computed with
        traced = torch.jit.freeze(torch.jit.trace(module, torch.zeros(tuple(example_shape)), check_trace=False))
    decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
    front_end = FrontEndManager().load_by_framework("pytorch")
    model = front_end.load(decoder)
    # Batch and size stay free. A network that begins with a normalization does not tell even its number of axes.
    shape = PartialShape([-1, example_shape[1], *[-1] * (len(example_shape) - 2)])
    model.set_partial_shape(model.get_inputs()[0], shape)
    model.set_element_type(model.get_inputs()[0], Type.f32)
    return front_end.convert(model)


class PreparedNetworks:
    """Remembers the last prepared network and prepares it anew when the module or its weights have changed.

    An inferer is called with the module for every scan; compiling takes seconds, and a network that is being trained
    changes between two validations.

    Args:
        backend: one of :data:`BACKENDS`.
        amp: on a CPU compute in bfloat16.
    """

    def __init__(self, backend: str = "auto", amp: bool = False) -> None:
        self.backend = backend
        self.amp = amp
        self._key: tuple[Any, ...] | None = None
        self._module: nn.Module | None = None
        self._runner: Runner | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the compiled network out: loaders that spawn workers pickle what holds an inferer."""
        return {"backend": self.backend, "amp": self.amp, "_key": None, "_module": None, "_runner": None}

    def get(self, network: Callable[..., Any], example_shape: Sequence[int], device: torch.device | str) -> Runner:
        """Return the prepared network, compiled now only if it must be."""
        if not isinstance(network, nn.Module):
            return prepare_network(network, self.backend, example_shape, device, self.amp)
        key = (_version(network), str(device), network.training, torch.get_num_threads())
        if self._runner is None or self._module is not network or key != self._key:
            self._runner = prepare_network(network, self.backend, example_shape, device, self.amp)
            self._key, self._module = key, network
        return self._runner


def _version(network: nn.Module) -> tuple[tuple[int, int], ...]:
    """Return what changes with every in-place update or exchange of a weight."""
    tensors = [*network.parameters(), *network.buffers()]
    return tuple((tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors)
