"""One training loop for everything that learns, on Lightning Fabric.

Everything random is a function of the seed and the step alone, so a run that was killed at any
moment and is started again from its last checkpoint ends with the same weights as one never killed.
Under `torchrun` several processes share the batch of every step, see `distributed`.
"""

import csv
import io
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ordlib.distributed import connect, share, share_statistics
from ordlib.errors import InputError
from ordlib.files import replacing

Losses = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
LOG_POINTS = 100
_TALK = 10


@dataclass(frozen=True)
class Budget:
    """What the loop needs to know; the paper's values are RMSprop, 2.5e-4 (Section 4.2)."""

    steps: int
    optimizer: str = "rmsprop"  # or adam
    learning_rate: float = 2.5e-4  # at the start, or at the top of the schedule
    schedule: str = "constant"  # or cosine: down to zero after the warm-up
    warmup: float = 0.05  # share of the steps over which cosine rises from zero
    precision: str = "32-true"  # Fabric's name, or bf16-mixed
    checkpoint_seconds: float = 20.0
    # kernels of `torch.compile`: minutes at the start, sums in another order, faster steps
    compile: bool = False


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    # Torch7's RMSprop, which the authors used, decays with 0.99 as PyTorch's default does
    "rmsprop": torch.optim.RMSprop,
    # fused: one pass over each weight, a sixth of the time on small networks
    "adam": partial(torch.optim.Adam, fused=True),
}


def learning_rate_factor(budget: Budget, step: int) -> float:
    """Factor on the learning rate at a step. Raises InputError for an unknown schedule."""
    if budget.schedule == "constant":
        return 1.0
    if budget.schedule != "cosine":
        raise InputError(f"schedule: expected constant or cosine, found {budget.schedule!r}")
    warmup = max(1, int(budget.steps * budget.warmup)) if budget.warmup else 0
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, budget.steps - warmup)))


@contextmanager
def single_thread(device: str) -> Iterator[None]:
    """Run torch on one CPU thread.

    Sums depend on how many threads share them; with one, results do not depend on the machine's
    cores, and several small networks train faster side by side than one after another.
    """
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    network: Network,
    batch_at: Callable[[int], Any],
    loss: Callable[[Any, Any], Losses],
    budget: Budget,
    folder: Path | None = None,
    device: str = "cpu",
    title: str = "",
    position: int = 0,
) -> Network:
    """Train a network in place, or go on from the checkpoint in `folder`.

    Args:
        batch_at: the whole batch of a step, on `device`; with a folder a pure function of the step.
        loss: from the network and the batch to named terms, means over the batch, to be summed.
        folder: gets `log.csv` and in the end `weights.safetensors`, and a checkpoint while the run
            is under way; its name says what the run follows from. Without one nothing is written.
        title, position: label and line of the progress bar, which is shown on a terminal only.

    Raises:
        InputError: a checkpoint in `folder` does not fit, an unknown setting, a loss that is not
            finite (named with its step), or a batch that the processes cannot share equally.
    """
    network, optimizer = _prepared(network, budget)
    fabric = connect(budget.precision, device)
    if fabric.world_size > 1:
        share_statistics(network, device)
    compiled: Any = torch.compile(network) if budget.compile else network
    model, optimizer = fabric.setup(compiled, optimizer)
    log = _Log(folder, title)
    start = load_checkpoint(folder, network, optimizer, log) if folder else 0
    _check_start(fabric, start, folder)
    model.train()
    saved = time.monotonic()
    hidden = None if folder and fabric.is_global_zero else True
    bar = tqdm(total=budget.steps, initial=start, desc=title, position=position, disable=hidden)
    with bar, single_thread(device):
        for step in range(start, budget.steps):
            _set_rate(optimizer, budget, step)
            batch = share(batch_at(step), fabric.global_rank, fabric.world_size)
            terms = loss(model, batch)
            optimizer.zero_grad()
            fabric.backward(torch.stack(tuple(terms.values())).sum())
            optimizer.step()
            if step == budget.steps - 1 or step % max(1, budget.steps // LOG_POINTS) == 0:
                log.add(step, _means(fabric, terms))
            if folder and _is_due(fabric, step, saved + budget.checkpoint_seconds):
                log.check(step, _means(fabric, terms))
                if fabric.is_global_zero:
                    save_checkpoint(folder, network, optimizer, step + 1, log)
                saved = time.monotonic()
            bar.update()
    if folder and fabric.is_global_zero:
        with replacing(folder / "log.csv") as temporary:
            temporary.write_text(log.text())
        save_weights(folder, network)
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return network.eval()


def _prepared(network: Network, budget: Budget) -> tuple[Network, torch.optim.Optimizer]:
    if budget.optimizer not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        raise InputError(f"optimizer: expected one of {known}, found {budget.optimizer!r}")
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, OPTIMIZERS[budget.optimizer](network.parameters(), lr=budget.learning_rate)


def _check_start(fabric: Any, start: int, folder: Path | None) -> None:
    first = fabric.broadcast(start)
    if first != start:
        raise InputError(
            f"{folder}: expected step {first}, which the first process found there,"
            f" found step {start}; let all machines share one folder of results"
        )


def _is_due(fabric: Any, step: int, moment: float) -> bool:
    """Whether to write a checkpoint now; the clock of the first process decides for all."""
    due = time.monotonic() > moment
    if fabric.world_size == 1:
        return due
    # the answer has to come from the device, so it is not asked for in every step
    return step % _TALK == 0 and fabric.broadcast(due)


def _means(fabric: Any, terms: Losses) -> Any:
    """The terms of the whole batch, the same in all processes."""
    return fabric.all_reduce({name: value.detach().clone() for name, value in terms.items()})


def _set_rate(optimizer: torch.optim.Optimizer, budget: Budget, step: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = budget.learning_rate * learning_rate_factor(budget, step)


class _Log:
    """Rows of `log.csv`."""

    def __init__(self, folder: Path | None, title: str) -> None:
        self.name, self.rows = folder.name if folder else title, list[dict[str, str]]()

    def check(self, step: int, terms: Losses) -> dict[str, float]:
        """The terms of a step as numbers. Raises InputError if one is not finite."""
        values = {name: float(value.detach()) for name, value in terms.items()}
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise InputError(
                f"{self.name}: loss {', '.join(broken)} is not finite at step {step};"
                " expected finite values, try a smaller learning rate"
            )
        return values

    def add(self, step: int, terms: Losses) -> None:
        """Append the terms of a step. Raises InputError if one is not finite."""
        values = self.check(step, terms)
        row = {name: f"{value:.6g}" for name, value in values.items()}
        self.rows.append({"step": str(step), **row})

    def text(self) -> str:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(self.rows[0]) if self.rows else ["step"])
        writer.writeheader()
        writer.writerows(self.rows)
        return buffer.getvalue()


CHECKPOINT, WEIGHTS = "checkpoint.safetensors", "weights.safetensors"


def save_checkpoint(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, step: int, log: _Log
) -> None:
    """Write weights, optimiser state, step and log as one file, which replaces the last one."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
    _save(folder / CHECKPOINT, tensors, step=str(step), log=log.text(), identity=folder.name)


def load_checkpoint(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, log: _Log
) -> int:
    """Restore what `save_checkpoint` wrote and return the next step; 0 where there is no file."""
    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    try:
        tensors, meta = _load(path, "identity")
        network.load_state_dict(_under("network.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under("optimizer.", tensors).items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        _match_layouts(optimizer)
        log.rows = list(csv.DictReader(io.StringIO(meta["log"])))
        return int(meta["step"])
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: expected a checkpoint of this network, found {str(error).splitlines()[0]};"
            " delete the file to start again"
        ) from error


def _match_layouts(optimizer: torch.optim.Optimizer) -> None:
    """Lay the state out as the weights are; fused optimisers walk both in the order of memory."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == weight.shape:
                state[name] = torch.empty_like(weight).copy_(value)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def save_weights(folder: Path, network: nn.Module) -> None:
    """Write a network's weights as safetensors, with the name of the run that they belong to."""
    _save(folder / WEIGHTS, network.state_dict(), run=folder.name)


def _save(path: Path, tensors: dict[str, Tensor], **metadata: str) -> None:
    with replacing(path) as temporary:
        tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        save_file(tensors, temporary, metadata=metadata)


def _load(path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file whose metadata name its folder under a key."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if (owner := metadata.get(key)) != path.parent.name:
            raise RuntimeError(f"a file of {owner!r} in place of {path.parent.name!r}")
        return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118


def load_weights(folder: Path, network: Network) -> Network:
    """Read a run's weights into a network, which is then in evaluation mode."""
    path = folder / WEIGHTS
    if not path.exists():
        raise InputError(f"{path}: expected the weights of a trained network, found no file")
    try:
        network.load_state_dict(_load(path, "run")[0])
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{path}: expected the weights of a {type(network).__name__} of this configuration,"
            f" found {str(error).splitlines()[0]}"
        ) from error
    return network.eval()
