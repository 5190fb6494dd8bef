"""A bundle as one self-contained zip, as the MONAI Model Zoo, MONAI Label and MONAI Deploy take it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import medbundles
from medbundles.checks.vendored import HASH_NAME, package_hash, vendored_files
from medbundles.described_metadata import described_metadata
from medbundles.errors import ConfigurationError, DataError, Finding, OutputConflict
from medbundles.io.atomic import atomic_path
from medbundles.io.hashing import sha256_file
from medbundles.io.model_json import MODEL_JSON, WEIGHTS_NAME, Model, locate_weights, read_model
from medbundles.registry import METADATA, RESULTS, bundle_folder, read_json, with_bundle_root
from medbundles.weights_page import weights_page

if TYPE_CHECKING:
    import torch

FORMATS = ("safetensors", "torchscript", "onnx")
SUMS_NAME = "SHA256SUMS"
INFERENCE = Path("configs/inference.yaml")
# Zip knows no dates before 1980; a fixed one makes the same content the same bytes.
TIMESTAMP = (1980, 1, 1, 0, 0, 0)
# Sizes the converted networks are compared at: multiples of the pattern in metadata.json.
COMPARED_SIZES = (4, 6)


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        path: the zip.
        files: names in it, the bundle's folder left out.
        notes: what is missing and why.
    """

    path: Path
    files: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def export_bundle(
    name: str,
    output: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    formats: Sequence[str] = FORMATS,
    overwrite: bool = False,
) -> Export:
    """Write ``output/NAME.zip``.

    The zip holds the bundle's folder with its configurations (``bundle_root`` is ``.``), the part of this package
    they name, the weights in several formats and ``SHA256SUMS``. The same content gives the same bytes.

    Args:
        name: a bundle of this package, or the path of a bundle's folder.
        output: folder of the zip.
        weights: ``model.pt`` (its ``model.json`` beside it) or a run's folder; the default is the released weights.
        formats: which of :data:`FORMATS` to add to ``model.pt``.
        overwrite: whether an existing zip may be replaced.

    Raises:
        ConfigurationError: unknown bundle or format, or an output that is no folder.
        DataError: no weights, or damaged ones.
        UntrustedContent: the weights hold more than tensors.
        EnvironmentFailure: the extra ``onnx`` is missing, or the disk is full.
        OutputConflict: the zip exists.
    """
    bundle = bundle_folder(name)
    title = bundle.resolve().name
    if Path(output).suffix == ".zip" and not Path(output).is_dir():
        fix = f"pass {Path(output).parent} to get {Path(output).parent / title}.zip"
        message = f"--output is the folder of the zip, which is named after its bundle; found {output}: {fix}"
        raise ConfigurationError(message)
    target = Path(output) / f"{title}.zip"
    if target.exists() and not overwrite:
        raise OutputConflict(f"{target} exists; choose another folder or pass --overwrite")
    _refuse_unknown(formats)
    if "onnx" in formats:
        from medbundles.formats import require_onnx

        require_onnx()
    source = locate_weights(bundle, weights)
    refuse_incomplete(source, read_model(source))
    with tempfile.TemporaryDirectory(prefix="medbundles-export-") as scratch:
        root = Path(scratch) / title
        stage_sources(bundle, root)
        stage_weights(source, root / "models")
        metadata = described_metadata((root / METADATA).read_text(encoding="utf-8"), read_model(source))
        (root / METADATA).write_text(metadata, encoding="utf-8", newline="\n")
        notes = convert(bundle, source, root / "models", formats, metadata)
        write_sums(root)
        with atomic_path(target) as temporary:
            write_zip(root, temporary)
        return Export(target, tuple(_relative(root)), tuple(notes))


def refuse_incomplete(source: Path, description: Model) -> None:
    """Refuse weights whose companions, which ``model.json`` names, are not those it names; inference would.

    Raises:
        DataError: a file is missing (TRN011) or another one (TRN007).
    """
    findings = []
    for name, expected in description["files"].items():
        path = source.with_name(name)
        if name in {source.name, WEIGHTS_NAME} or path.suffix != ".pt":
            continue
        fix = "copy all files of the run"
        if not path.is_file():
            findings.append(
                Finding("TRN011", "error", f"no {name} beside {MODEL_JSON}, which names it", fix, file=name)
            )
        elif sha256_file(path) != expected:
            message = f"not the file that {MODEL_JSON} describes (SHA-256 differs)"
            findings.append(Finding("TRN007", "error", message, fix, file=name))
    if findings:
        raise DataError(findings=findings)


def stage_sources(bundle: Path, root: Path) -> None:
    """Copy everything that is text: configurations, documentation, licence, and the package they need."""
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        relative = path.relative_to(bundle)
        if relative.parts[0] in {"models", "runs", "medbundles"} or "__pycache__" in relative.parts:
            continue
        copy = root / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        if relative.parts[0] == "configs" and path.suffix == ".yaml":
            copy.write_text(with_bundle_root(path.read_text(encoding="utf-8"), "."), encoding="utf-8", newline="\n")
        else:
            shutil.copyfile(path, copy)
    package = Path(medbundles.__file__).resolve().parent
    for path in vendored_files(package):
        copy = root / "medbundles" / path.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    (root / "medbundles" / HASH_NAME).write_text(package_hash(package) + "\n", encoding="utf-8", newline="\n")


def stage_weights(source: Path, models: Path) -> None:
    """Copy ``model.pt``, ``model.json`` and further weights that it lists, and say in ``docs`` where they come from."""
    models.mkdir(parents=True)
    description = read_model(source)
    shutil.copyfile(source, models / WEIGHTS_NAME)
    for other in sorted(description["files"]):
        if other != source.name and other.endswith(".pt") and source.with_name(other).is_file():
            shutil.copyfile(source.with_name(other), models / other)
    if source.name != WEIGHTS_NAME:
        description["files"][WEIGHTS_NAME] = description["files"].pop(source.name, sha256_file(source))
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    (models / MODEL_JSON).write_text(text, encoding="utf-8", newline="\n")
    page = models.parent / "docs" / "weights.md"
    page.parent.mkdir(exist_ok=True)
    results = source.with_name(RESULTS)
    said = read_json(results) if results.is_file() else {}
    page.write_text(weights_page(description, said), encoding="utf-8", newline="\n")
    if results.is_file():
        shutil.copyfile(results, models / RESULTS)


def convert(bundle: Path, weights: Path, models: Path, formats: Sequence[str], metadata: str) -> list[str]:
    """Write the network in other formats, each compared with the original; returns what could not be written."""
    if not formats:
        return []
    from medbundles import formats as writers
    from medbundles.components.networks import load_weights, read_weights

    with one_config(bundle, weights) as parser:
        network: torch.nn.Module = parser.get_parsed_content("network_def")
        load_weights(network, weights)
        _refuse_broken(network.state_dict(), weights.name)
        network.cpu().eval()
        images, dynamic = example_images(json.loads(metadata))
        notes: list[str] = []
        others = [path for path in sorted(models.glob("*.pt")) if path.name != WEIGHTS_NAME]
        if "safetensors" in formats:
            writers.write_safetensors(models / "model.safetensors", network.state_dict())
            for path in others:
                writers.write_safetensors(path.with_suffix(".safetensors"), read_weights(path))
        if others and {"torchscript", "onnx"} & {*formats}:
            names = ", ".join(path.name for path in others)
            notes.append(f"model.ts and model.onnx hold the network of model.pt alone; {names} has no such file")
        windowed = not all(getattr(module, "scriptable", True) for module in network.modules())
        if "torchscript" in formats and windowed:
            notes.append("no model.ts: TorchScript cannot express this network (shifted windows)")
        elif "torchscript" in formats:
            try:
                writers.write_torchscript(models / "model.ts", network, images[0], torchscript_extras(bundle, metadata))
            except writers.NotScriptable as error:
                notes.append(f"no model.ts: TorchScript cannot express this network ({error})")
        if "onnx" in formats:
            if windowed:
                images, dynamic = of_one_size(images)
                size = " x ".join(map(str, images[0].shape[2:]))
                notes.append(f"model.onnx takes blocks of {size} only: shifted windows have no form for free sizes")
            writers.write_onnx(models / "model.onnx", network, images, dynamic)
        return notes


def _refuse_broken(tensors: Mapping[str, torch.Tensor], file: str) -> None:
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        message = f"{len(broken)} tensors hold NaN or infinity, {broken[0]} for instance"
        raise DataError(findings=[Finding("TRN003", "error", message, "use an earlier checkpoint", file=file)])


@contextmanager
def one_config(bundle: Path, weights: Path) -> Iterator[Any]:
    """Yield the parsed ``inference.yaml`` of ``bundle`` with these weights on the CPU."""
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(bundle / INFERENCE))
    parser.read_meta(str(bundle / METADATA))
    parser.update({"bundle_root": str(bundle.resolve()), "weights": str(weights.resolve()), "device": "cpu"})
    yield parser


def torchscript_extras(bundle: Path, metadata: str) -> dict[str, str]:
    """Return the files MONAI's tools look for inside of a TorchScript archive, as JSON text."""
    import yaml

    config = yaml.safe_load(with_bundle_root((bundle / INFERENCE).read_text(encoding="utf-8"), "."))
    return {
        "metadata.json": metadata,
        "inference.json": json.dumps(config, indent=2, ensure_ascii=False),
    }


def example_images(metadata: dict[str, Any]) -> tuple[list[torch.Tensor], list[int]]:
    """Return inputs of two sizes and batch sizes in the declared range, and the axes whose size is free.

    ``spatial_shape`` of ``metadata.json`` holds numbers (fixed) and patterns such as ``"8*n"`` or ``"2**p*n"`` (free).
    """
    import torch
    from monai.bundle.scripts import _get_fake_spatial_shape

    image = metadata["network_data_format"]["inputs"]["image"]
    pattern = image["spatial_shape"]
    low, high = image["value_range"] or (0, 1)
    generator = torch.Generator().manual_seed(0)
    images = []
    for batch, factor in enumerate(COMPARED_SIZES, start=2):
        shape = _get_fake_spatial_shape(pattern, p=3, n=factor, any=8 * factor)
        noise = torch.rand((batch, image["num_channels"], *shape), generator=generator)
        images.append(noise * (high - low) + low)
    return images, [0, *(axis for axis, size in enumerate(pattern, start=2) if isinstance(size, str))]


def of_one_size(images: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[int]]:
    """Return the images in the size of the first one, and the batch axis as the only free one."""
    edges = images[0].shape[2:]
    for axis, edge in enumerate(edges, start=2):
        images = [image.narrow(axis, 0, edge) for image in images]
    return list(images), [0]


def write_sums(root: Path) -> None:
    """Write ``SHA256SUMS`` as ``sha256sum --check`` reads it."""
    lines = (f"{sha256_file(root / name)}  {name}\n" for name in _relative(root))
    (root / SUMS_NAME).write_text("".join(lines), encoding="utf-8", newline="\n")


def write_zip(root: Path, path: Path) -> None:
    """Zip a folder under its own name: sorted, with a fixed date and fixed permissions."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in _relative(root):
            entry = zipfile.ZipInfo(f"{root.name}/{name}", date_time=TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, whatever writes it
            archive.writestr(entry, (root / name).read_bytes())


def _relative(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def _refuse_unknown(formats: Iterable[str]) -> None:
    unknown = [each for each in formats if each not in FORMATS]
    if unknown:
        message = f"unknown format {', '.join(unknown)}"
        raise ConfigurationError(findings=[Finding("CFG001", "error", message, f"there is: {', '.join(FORMATS)}")])
