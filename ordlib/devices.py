"""Device names as users write them."""

import os

import torch

from ordlib.distributed import processes
from ordlib.errors import InputError


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
