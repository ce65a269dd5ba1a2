"""The one exception for bad input, and checks of arguments that end in it."""

import torch
from torch import Tensor


class InputError(ValueError):
    """Bad input from the user: a file, an argument or a configuration.

    The message names the file or argument, what was found and what was expected. The command line
    prints it alone, without a traceback, and exits with status 2.
    """


def require_shape(name: str, tensor: Tensor, *expected: int | None) -> None:
    """Raise InputError unless the last dimensions are as expected; None stands for any size."""
    found = tensor.shape[-len(expected) :] if len(expected) <= tensor.ndim else ()
    if len(found) != len(expected) or any(
        want is not None and want != size for want, size in zip(expected, found, strict=True)
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise InputError(f"{name}: expected shape (..., {wanted}), found {tuple(tensor.shape)}")


def require_same_shape(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Raise InputError unless both have one shape, with at least one element."""
    if tensor.shape != other.shape:
        raise InputError(
            f"{name}: expected the shape of {other_name}, {tuple(other.shape)},"
            f" found {tuple(tensor.shape)}"
        )
    if tensor.numel() == 0:
        raise InputError(f"{name}: expected at least one value, found shape {tuple(tensor.shape)}")


def require_finite(name: str, tensor: Tensor) -> None:
    """Raise InputError if any value is infinite or not a number."""
    bad = ~torch.isfinite(tensor.detach())
    if bad.any():
        raise InputError(
            f"{name}: expected finite values, found {int(bad.sum())} of {bad.numel()} that are not"
        )


def looks_at_values(tensor: Tensor) -> bool:
    """Whether a function of the training step may look at values: on the CPU, outside compilers."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def single_precision(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it is of half precision, else unchanged."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
