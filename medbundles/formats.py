"""A trained network in other formats, each compared with the original before it is kept."""

from __future__ import annotations

import copy
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from medbundles.errors import EnvironmentFailure, MedbundlesError
from medbundles.io.atomic import atomic_path

# Runtimes sum in another order; outputs of all networks here agree far better than this share of their range.
RELATIVE_TOLERANCE = 1e-3
ONNX_OPSET = 18
DEBUG_SUFFIX = ".debug_pkl"
WRITER_RECORDS = ("version", ".data/serialization_id")  # the writer adds its own


class ParityError(MedbundlesError):
    """A converted network answers differently than the original: a bug, never a file to ship."""


def write_safetensors(path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a network's parameters and buffers, names as in ``model.pt``."""
    import safetensors.torch

    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(state))  # its save_file keeps the file to its owner
    compare("safetensors", state, safetensors.torch.load_file(path))


def write_torchscript(
    path: str | os.PathLike[str], network: nn.Module, image: torch.Tensor, extra: Mapping[str, str]
) -> None:
    """Write the scripted network (any batch and spatial size) with configurations inside, as MONAI's tools expect.

    Args:
        path: ``model.ts``.
        network: in evaluation mode, on the CPU.
        image: an input ``(B, C, ...)`` to compare with.
        extra: name to text: ``metadata.json``, ``inference.json``.

    Raises:
        NotScriptable: TorchScript cannot express this network.
        ParityError: the scripted network answers differently.
    """
    try:
        scripted = torch.jit.script(copy.deepcopy(network).eval())
    except (RuntimeError, torch.jit.frontend.NotSupportedError) as error:
        raise NotScriptable(str(error).strip().split("\n", 1)[0]) from error
    with atomic_path(path) as temporary:
        torch.jit.save(scripted, str(temporary), _extra_files=dict(extra))
        strip_debug_records(temporary)
    jit: Any = torch.jit  # typed or not, depending on what else mypy has read
    loaded = jit.load(str(path), map_location="cpu")
    with torch.no_grad():
        compare("TorchScript", {"pred": network(image)}, {"pred": loaded(image)})


class NotScriptable(MedbundlesError):
    """TorchScript has no form for this network; ONNX may have."""


def strip_debug_records(path: Path) -> None:
    """Remove the records of a TorchScript file that hold source positions, which are absolute paths."""
    reader = torch._C.PyTorchFileReader(str(path))
    names = [name for name in reader.get_all_records() if not name.endswith(DEBUG_SUFFIX)]
    # Written to memory: the writer names the archive's folder after the file, and that name is a temporary one.
    stripped = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(stripped)
    for name in names:
        if name not in WRITER_RECORDS:
            content = reader.get_record(name)
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    path.write_bytes(stripped.getvalue())


def write_onnx(
    path: str | os.PathLike[str], network: nn.Module, images: Sequence[torch.Tensor], dynamic: Sequence[int]
) -> None:
    """Write the network as ONNX in one file, with free sizes, without source positions.

    Args:
        path: ``model.onnx``.
        network: in evaluation mode, on the CPU.
        images: inputs ``(B, C, ...)`` of different sizes to compare with; the first one is exported with.
        dynamic: axes of free size, the batch axis included.

    Raises:
        EnvironmentFailure: the extra ``onnx`` is not installed.
        ParityError: ONNX Runtime answers differently.
    """
    onnx, runtime = _onnx_modules()
    with atomic_path(path) as temporary:
        with quiet_exporter():
            torch.onnx.export(
                copy.deepcopy(network).eval(),
                (images[0],),
                str(temporary),
                input_names=["image"],
                output_names=["pred"],
                opset_version=ONNX_OPSET,
                dynamo=True,
                dynamic_shapes=({axis: torch.export.Dim.DYNAMIC for axis in dynamic},),
                external_data=False,
                verbose=False,
            )
        model = onnx.load(temporary)
        strip_onnx(model)
        onnx.checker.check_model(model)
        temporary.write_bytes(model.SerializeToString(deterministic=True))
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for image in images:
        with torch.no_grad():
            expected = network(image)
        (found,) = session.run(["pred"], {"image": image.numpy()})
        compare("ONNX", {"pred": expected}, {"pred": torch.from_numpy(found)})


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep the exporter's remarks on operators that nobody asked for away from the user; errors still show."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)


def strip_onnx(model: Any) -> None:
    """Remove what an ONNX model says about the machine that exported it: stack traces, file names, documentation."""
    model.doc_string = ""
    del model.metadata_props[:]
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        graph.doc_string = ""
        del graph.metadata_props[:]
        values = [*graph.value_info]
        values += [] if graph in model.functions else [*graph.input, *graph.output, *graph.initializer]
        for entry in (*graph.node, *values):
            entry.doc_string = ""
            del entry.metadata_props[:]


def compare(what: str, expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> None:
    """Raise unless all tensors agree within :data:`RELATIVE_TOLERANCE` of the expected range.

    Raises:
        ParityError: names, shapes or values differ; says which and by how much.
    """
    for name, tensor in expected.items():
        other = found.get(name)
        if other is None or other.shape != tensor.shape:
            raise ParityError(f"{what}: {name} has shape {None if other is None else tuple(other.shape)}")
        if not tensor.numel():
            continue
        difference = float(np.abs(other.double().numpy() - tensor.double().numpy()).max())
        limit = RELATIVE_TOLERANCE * max(1.0, float(tensor.double().abs().max()))
        if not difference <= limit:
            raise ParityError(f"{what}: {name} differs from the original by {difference:.3g} (limit {limit:.3g})")


def require_onnx() -> None:
    """Make sure ONNX can be written.

    Raises:
        EnvironmentFailure: the extra ``onnx`` is not installed.
    """
    _onnx_modules()


def _onnx_modules() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch.onnx needs it and says so late
    except ImportError as error:
        message = f"writing ONNX needs {error.name}: pip install 'medbundles[onnx]'"
        raise EnvironmentFailure(f"{message}, or leave ONNX out with --formats safetensors,torchscript") from error
    return onnx, onnxruntime
