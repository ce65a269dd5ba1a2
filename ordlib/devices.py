"""Device names as users write them."""

import torch

from ordlib.errors import InputError


def _available() -> list[str]:
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(["cuda"] if cuda else []), *cuda, *mps]


def resolve_device(name: str) -> str:
    """The device of that name; `auto` is the first CUDA device, or the CPU where there is none.

    Args:
        name: auto, cpu, cuda, cuda:N or mps.

    Raises:
        InputError: an unknown name, or a device that this machine does not have.
    """
    available = _available()
    if name == "auto":
        return "cuda" if "cuda" in available else "cpu"
    if name not in available:
        raise InputError(
            f"device: expected auto, cpu, cuda, cuda:N or mps, of which this machine has "
            f"auto, {', '.join(available)}; found {name!r}"
        )
    return name
