"""One training in several processes, on one machine or many, as `torchrun` starts them.

Every process makes the whole batch of a step and learns from its share of it. Losses are means over
the batch and on GPUs batch norm sees the statistics of all shares, so that gradients, and with them
the weights, are those of one process with the same batch, but for the order of floating-point sums.
On CPUs, for which PyTorch has no such batch norm, each process normalises its own share.
Files are written by the first process alone and read by all, so machines need one shared folder.
"""

import atexit
import logging
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn

from ordlib.errors import InputError
from ordlib.shapes import MixedBatch, PoseBatch

_PATIENCE = timedelta(days=1)
"""How long processes wait for the first one, which evaluates alone."""


def processes() -> int:
    """How many processes train together; more than one under `torchrun` only."""
    launched = distributed.is_available() and distributed.is_torchelastic_launched()
    return int(os.environ["WORLD_SIZE"]) if launched else 1


def connect(precision: str, device: str) -> Any:
    """Fabric on a device; under `torchrun` all processes wait here for each other.

    Args:
        precision: Fabric's name, `32-true` or `bf16-mixed`.
        device: as `resolve_device` gives it.
    """
    # it loads torch._dynamo, which costs as much time as PyTorch
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    # it announces its settings, which the run's configuration records
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    kind, _, index = device.partition(":")
    settings: dict[str, Any] = {"accelerator": kind, "precision": precision}
    if processes() == 1:
        return Fabric(devices=[int(index)] if index else 1, **settings)
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    strategy = DDPStrategy(timeout=_PATIENCE)
    fabric = Fabric(strategy=strategy, devices=here, num_nodes=processes() // here, **settings)
    fabric.launch()
    # threads of the group that outlive the interpreter abort the process
    atexit.register(_leave)
    return fabric


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def share(batch: Any, rank: int, count: int) -> Any:
    """The part of a batch that process `rank` of `count` learns from; of a mixed one, of each half.

    Raises:
        InputError: a batch that cannot be cut into equal parts.
    """
    if count == 1:
        return batch
    if isinstance(batch, MixedBatch):
        return MixedBatch(_share(batch.full, rank, count), _share(batch.weak, rank, count))
    return _share(batch, rank, count)


def _share(batch: PoseBatch, rank: int, count: int) -> PoseBatch:
    size, rest = divmod(len(batch), count)
    if rest or not size:
        raise InputError(
            f"batch: expected a size that the {count} processes can share equally,"
            f" found {len(batch)}; start another number of processes"
        )
    part = slice(rank * size, (rank + 1) * size)
    return replace(batch, **{f.name: _cut(getattr(batch, f.name), part) for f in fields(batch)})


def _cut(value: Any, part: slice) -> Any:
    if isinstance(value, Mapping):
        return {name: column[part] for name, column in value.items()}
    return None if value is None else value[part]


def share_statistics(network: nn.Module, device: str) -> None:
    """Let the batch norms of a network, in place, see the images of all processes; on GPUs."""
    if device.startswith("cuda"):
        nn.SyncBatchNorm.convert_sync_batchnorm(network)


def _available() -> list[str]:
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(["cuda"] if cuda else []), *cuda, *mps]


def resolve_device(name: str) -> str:
    """The device of that name; `auto` is the first CUDA device, or the CPU where there is none.

    Under `torchrun` each process of a machine gets a CUDA device of its own.

    Args:
        name: auto, cpu, cuda, cuda:N or mps; under `torchrun` auto, cpu or cuda.

    Raises:
        InputError: an unknown name, or a device that this machine does not have.
    """
    available = _available()
    if name == "auto":
        name = "cuda" if "cuda" in available else "cpu"
    if processes() > 1 and name != "cpu":
        own = f"cuda:{os.environ['LOCAL_RANK']}"
        if name not in ("cuda", own):
            raise InputError(f"device: expected auto, cpu or cuda under torchrun, found {name!r}")
        name = own
    if name not in available:
        raise InputError(
            f"device: expected auto, cpu, cuda, cuda:N or mps, of which this machine has "
            f"auto, {', '.join(available)}; found {name!r}"
        )
    return name
