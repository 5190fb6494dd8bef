"""Several processes, one training: torchrun needs no overlay, the same configuration runs alone or in a group.

torchrun describes the group in environment variables (``RANK``, ``LOCAL_RANK``, ``WORLD_SIZE``); everything here reads
those, so the functions answer before the process group exists.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sized
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DistributedSampler, Sampler


def world_size() -> int:
    """Return the number of processes that train together; 1 without torchrun."""
    return dist.get_world_size() if _group_exists() else int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return this process's number in the group; 0 without torchrun."""
    return dist.get_rank() if _group_exists() else int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return this process's number on its machine: the index of its GPU; 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_writer() -> bool:
    """Return whether this process writes files, locks folders and prints; exactly one of a group does."""
    return rank() == 0


def join_process_group(device: torch.device) -> None:
    """Join the group that torchrun started, once; do nothing in a single process.

    Args:
        device: where this process computes; ``cuda`` talks NCCL, everything else gloo.
    """
    if world_size() == 1 or _group_exists():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend="nccl" if device.type == "cuda" else "gloo")
    atexit.register(leave_process_group)


def leave_process_group() -> None:
    """Leave the group; harmless where there is none."""
    if _group_exists():
        dist.destroy_process_group()


def wrap_for_distributed(
    network: nn.Module, device: torch.device | str, find_unused_parameters: bool = False
) -> nn.Module:
    """Move a network to its device and, in a group of processes, wrap it so that gradients are averaged.

    Args:
        network: any network; on a GPU its batch normalization layers are made to share their statistics.
        device: where this process computes.
        find_unused_parameters: whether some parameters get no gradient in some iterations (costs one traversal).

    Returns:
        The network itself in a single process, otherwise a ``DistributedDataParallel`` around it.
    """
    device = torch.device(device)
    network = network.to(device)
    if world_size() == 1:
        return network
    join_process_group(device)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return network
    if device.type != "cuda":
        return DistributedDataParallel(network, find_unused_parameters=find_unused_parameters)
    network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return DistributedDataParallel(network, device_ids=[device], find_unused_parameters=find_unused_parameters)


def agreed(condition: bool) -> bool:
    """Return whether every process of the group says so: what one of them skips, none may wait for."""
    if not _group_exists():
        return condition
    vote = torch.tensor(int(condition), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(vote, op=dist.ReduceOp.MIN)
    return bool(vote)


def _group_exists() -> bool:
    return dist.is_available() and dist.is_initialized()


def share_of_process(dataset: Sized) -> Sampler[Any] | None:
    """Return a sampler that gives this process its share of a data set in order; ``None`` in a single process.

    Shares are filled up to the same size; metrics count a case that two processes saw once.
    """
    return DistributedSampler(dataset, shuffle=False) if world_size() > 1 else None  # type: ignore[arg-type]
