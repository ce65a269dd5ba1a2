"""The batches that a network learns from: a pure function of the seed and the step."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch

from ordlib.augment import augment
from ordlib.data import PoseDataset
from ordlib.files import digest
from ordlib.shapes import MixedBatch, PoseBatch

T = TypeVar("T")


def batch_at(
    dataset: PoseDataset,
    wild: PoseDataset | None,
    batch_size: int,
    seed: int,
    device: str,
    step: int,
) -> PoseBatch | MixedBatch:
    """The augmented batch of a step: every epoch in an order of its own, all of it seeded."""
    batch = _augmented(dataset, batch_size, seed, device, step, "augment")
    if wild is None:
        return batch
    return MixedBatch(batch, _augmented(wild, batch_size, seed, device, step, "augment wild"))


def _augmented(
    dataset: PoseDataset, batch_size: int, seed: int, device: str, step: int, purpose: str
) -> PoseBatch:
    generator = torch.Generator().manual_seed(int(digest([seed, purpose, step]), 16))
    return augment(
        dataset.batch(batch_indices(len(dataset), batch_size, seed, step), device), generator
    )


def batch_indices(samples: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Samples of a step. An incomplete last batch of an epoch is dropped."""
    per_epoch = max(1, samples // batch_size)
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(samples)
    return np.sort(order[place * batch_size : (place + 1) * batch_size])


@contextmanager
def ahead(make: Callable[[int], T], steps: int, threads: int) -> Iterator[Callable[[int], T]]:
    """A pure function of the step, made by threads beforehand; for steps asked in order.

    As many coming steps are under way as there are threads; with 0 each is made when asked for.
    """
    if not threads:
        yield make
        return
    coming: dict[int, Future[T]] = {}

    def take(step: int) -> T:
        for later in range(step, min(step + threads + 1, steps)):
            if later not in coming:
                coming[later] = pool.submit(make, later)
        return coming.pop(step).result()

    # one thread for each sum, as in training: results do not depend on the machine's cores
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield take
    finally:
        pool.shutdown(cancel_futures=True)
