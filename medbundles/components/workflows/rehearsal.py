"""Before the first epoch: does the network take what it will be fed, and the loss what comes out of it?

Constructors accept much that fails only when data arrive, and every library says so in its own way after the folder
is taken. Trying one small empty batch finds all of it, whatever the argument is called.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

import torch
from monai.bundle.config_parser import ConfigParser
from torch import Tensor, nn

from medbundles.checks.notices import noticing
from medbundles.components.networks.slice_discriminator import SliceDiscriminator
from medbundles.components.out_of_memory import is_out_of_memory, memory_failure
from medbundles.errors import MISFITS, ConfigurationError, Finding, MedbundlesError, origin, reason_of

# Where MONAI's rules for bundles put the objects.
NETWORK = "network_def"
# A supervised trainer's, and that of one with a discriminator.
LOSSES = ("train::trainer::loss_function", "train::trainer::recon_loss_function")
DISCRIMINATOR = "discriminator"
POSTPROCESSING = "postprocessing"
INFERERS = {"train": "validate::inferer", "evaluate": "validate::inferer", "infer": "inferer"}
# Batches of more pixels are tried smaller first; what every network of the field takes, by number of axes.
LARGEST_BATCH = 1 << 15
SMALL_SIZE = {2: 64, 3: 32}
# Edge of the volume shown to an inferer.
VOLUME_SIZE = 32

Kind = Literal["train", "evaluate", "infer"]


def rehearse(
    parser: ConfigParser, kind: Kind, channels: Sequence[str] | None, labeled: bool, label_channels: int = 1
) -> None:
    """Try the configuration's network, inferer and loss on an empty batch; parts that it does not have are left out.

    What is built is what the run will use: the parser keeps it. Random state, batch statistics and modes stay as they
    were.

    Args:
        parser: is evaluating the configuration.
        kind: ``train`` tries training patches and the loss as well, ``infer`` builds the postprocessing.
        channels: the images' names; ``None`` where the bundle does not say.
        labeled: whether targets are labels, which the loss has to take.
        label_channels: channels of a label, as the preprocessing leaves it.

    Raises:
        ConfigurationError: something cannot be built, or does not fit (CFG002).
        MedbundlesError: building one of them refused by itself, such as damaged weights to start from.
    """
    findings: list[Finding] = []
    network = _built(parser, NETWORK, findings)
    inferer = _built(parser, INFERERS[kind], findings)
    loss_id = next((id_ for id_ in LOSSES if id_ in parser), LOSSES[0])
    loss = _built(parser, loss_id, findings) if kind == "train" else None
    if kind == "infer":
        _built(parser, POSTPROCESSING, findings)  # takes from model.json what no other part asks for
    if isinstance(network, nn.Module) and not findings:
        with _unchanged(network):
            if kind == "train":
                patch = _patch_shape(parser, channels)
                tried = (loss_id, loss if labeled else None)
                findings += _try_training(network, patch, *tried, label_channels) if patch else []
            fed = _fed_by(inferer, len(channels or ("image",)))
            findings += _try_network(network, fed, INFERERS[kind])[1] if fed and not findings else []
    if kind == "train" and DISCRIMINATOR in parser:
        findings += _try_discriminator(parser, findings, channels, label_channels if labeled else 1)
    if findings:
        raise ConfigurationError(findings=findings)


def _built(parser: ConfigParser, id_: str, findings: list[Finding]) -> Any:
    """Build a part of the configuration; say what keeps it from being built, return ``None`` where there is none."""
    if id_ not in parser:
        return None
    try:
        return parser.get_parsed_content(id_)
    except (*MISFITS, MemoryError) as error:
        refusal = origin(error)
        if isinstance(refusal, MedbundlesError) and refusal.findings:
            raise refusal from error
        _refuse_if_out_of_memory(error, f"no memory to build {id_}", torch.device("cpu"))
        fix = "correct its arguments"
        findings.append(Finding("CFG002", "error", f"{id_} cannot be built: {reason_of(error)}", fix))
        return None


def _patch_shape(parser: ConfigParser, channels: Sequence[str] | None) -> tuple[int, ...] | None:
    """Return the shape of a batch of two training patches, ``(2, C, H, W[, D])``, where the configuration says it."""
    slices, patch = (parser.get_parsed_content(key, default=None) for key in ("slices", "patch_size"))
    count = slices if isinstance(slices, int) else len(channels or ())
    return (2, count, *patch) if count and isinstance(patch, list) else None


def _try_training(
    network: nn.Module, shape: tuple[int, ...], loss_id: str, loss: Any, label_channels: int
) -> list[Finding]:
    output, findings = _try_network(network, shape, "the training patches")
    if not isinstance(output, Tensor) or not callable(loss):
        return findings
    label = output.new_zeros((output.shape[0], label_channels, *output.shape[2:]))
    try:
        value = loss(output, label)
    except (*MISFITS, MedbundlesError, MemoryError) as error:
        _refuse_if_out_of_memory(error, f"no memory for {loss_id} with {_sizes(output.shape)} numbers", output.device)
        reason = reason_of(error)
    else:
        if not isinstance(value, Tensor) or value.numel() == 1:
            return findings
        reason = f"it returns {_sizes(value.shape)} numbers, training needs one"
    labels = "one" if label_channels == 1 else label_channels
    message = f"{loss_id} does not take {output.shape[1]} output channel(s) and a label of {labels}: {reason}"
    return [*findings, Finding("CFG002", "error", message, "correct out_channels or the loss's arguments")]


def _try_discriminator(
    parser: ConfigParser, found: list[Finding], channels: Sequence[str] | None, target_channels: int
) -> list[Finding]:
    """Show the discriminator a block, or a slice of each axis of it, where there is one that will be asked."""
    weights = [parser.get_parsed_content(f"{name}_weight", default=0) for name in ("adversarial", "feature_matching")]
    patch = parser.get_parsed_content("patch_size", default=None)
    network = None if found or not any(weights) else _built(parser, DISCRIMINATOR, found)
    if not isinstance(network, nn.Module) or not isinstance(patch, list) or len(patch) != 3:
        return []
    device = _device_of(network)
    images = len(channels or ()) if parser.get_parsed_content("conditional", default=False) else 0
    sliced = isinstance(network, SliceDiscriminator)
    target = torch.zeros(1, target_channels, *patch, device=device)
    condition = torch.zeros(1, images, *patch, device=device) if images else None
    slices = [torch.tensor([[0, size // 2]], device=device) for size in patch]
    with _unchanged(network):
        network.train()  # what it refuses in training only, such as normalizing a single value
        try:
            if sliced:
                network(target, slices, condition)
            else:
                network(target if condition is None else torch.cat([condition, target], dim=1))
        except (*MISFITS, MemoryError) as error:
            reason = reason_of(error)
        else:
            return []
    shown = f"{'slices of ' if sliced else ''}blocks of {_sizes(patch)}"
    message = f"{DISCRIMINATOR} does not take {shown} with {images + target_channels} channel(s): {reason}"
    return [Finding("CFG002", "error", message, "choose a larger patch_size or a smaller discriminator")]


def _try_network(network: nn.Module, shape: tuple[int, ...], source: str) -> tuple[Any, list[Finding]]:
    """Return the network's output for an empty batch, or what keeps it from taking one of exactly this shape."""
    for tried in dict.fromkeys((_small(shape), shape)):
        try:
            return network(torch.zeros(tried, device=_device_of(network))), []
        except (*MISFITS, MemoryError) as error:
            what = f"no memory for {NETWORK} with {_sizes(tried)} numbers from {source}"
            _refuse_if_out_of_memory(error, what, _device_of(network))
            reason = reason_of(error)
    message = f"{NETWORK} does not take {shape[1]} channel(s) of {_sizes(shape[2:])} from {source}: {reason}"
    return None, [
        Finding("CFG002", "error", message, "give the network's arguments and what feeds it the same channels")
    ]


def _refuse_if_out_of_memory(error: BaseException, what: str, device: torch.device) -> None:
    if is_out_of_memory(error):
        raise memory_failure(what, device, "choose a smaller network, patch_size or batch_size") from error


def _fed_by(inferer: Any, images: int) -> tuple[int, ...] | None:
    """Return the shape of the first batch an inferer feeds a network from a volume, ``None`` where it feeds none."""
    shapes: list[tuple[int, ...]] = []

    def network(batch: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        shapes.append(tuple(batch.shape))
        raise _Seen

    if callable(inferer):
        volume = torch.zeros(1, images, VOLUME_SIZE, VOLUME_SIZE, 1)
        # An inferer that wants other volumes than this one is no mistake, and that it finds nothing there no news.
        with suppress(_Seen, *MISFITS, MedbundlesError), noticing():
            inferer(volume, network)
    return shapes[0] if shapes else None


class _Seen(Exception):
    """Ends an inference whose first batch has been seen."""


@contextmanager
def _unchanged(network: nn.Module) -> Iterator[None]:
    """Try a network without leaving a trace in it or in the random state."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first step says it again
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _small(shape: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(shape[2:]) <= LARGEST_BATCH or len(shape) - 2 not in SMALL_SIZE:
        return shape
    return (*shape[:2], *(min(size, SMALL_SIZE[len(shape) - 2]) for size in shape[2:]))


def _device_of(network: nn.Module) -> torch.device:
    tensor = next(network.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
