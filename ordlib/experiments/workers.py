"""Work side by side in processes of their own: networks that are trained, notebooks that run."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import torch
from tqdm import tqdm

from ordlib.errors import InputError


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def worker_processes(
    title: str, count: int, initializer: Callable[..., None], initargs: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that are ended, whatever they do, when the block fails.

    Args:
        title: what they do, for the message where one is killed.
        count: how many.
        initializer, initargs: called in each of them first.

    Raises:
        InputError: the system has killed one of them.
    """
    pool = ProcessPoolExecutor(
        count, multiprocessing.get_context("spawn"), initializer=initializer, initargs=initargs
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise InputError(
            f"{title}: a worker process was killed, expected it to finish; was there too little"
            " memory? The same command continues, --jobs 1 needs the least memory"
        ) from error
    finally:
        # after a failure, what is under way is not waited for
        for process in list((pool._processes or {}).values()) if sys.exc_info()[0] else ():
            process.terminate()
        pool.shutdown(cancel_futures=True)


def side_by_side(
    one: Any,
    pending: Sequence[tuple[Any, ...]],
    count: int,
    before: Sequence[Callable[[], None]] = (),
) -> None:
    """Train in worker processes; on any failure, or Ctrl-C, end them all and leave checkpoints.

    Args:
        one: trains, and is given the line of its progress bar after its other arguments.
        pending: these arguments.
        count: worker processes.
        before: done by the same workers before any training begins.
    """
    context = multiprocessing.get_context("spawn")
    lock, places = context.RLock(), context.Queue()
    tqdm.set_lock(lock)
    for place in range(count):
        places.put(place)
    bar = tqdm(total=len(pending), desc="networks", position=count, disable=None)
    with bar, worker_processes("training", count, _start_worker, (lock, places)) as pool:
        for future in as_completed([pool.submit(call) for call in before]):
            future.result()
        for future in as_completed([pool.submit(_work, one, *item) for item in pending]):
            future.result()
            bar.update()


_line = 0


def _start_worker(lock: Any, places: Any) -> None:
    global _line
    end_with_parent()
    tqdm.set_lock(lock)
    torch.set_num_threads(1)
    _line = places.get()


def end_with_parent() -> None:
    """Let this worker end with its parent, and leave what it does to the next command."""
    os.setpgrp()  # Ctrl-C reaches the parent alone, which ends its workers
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(one: Any, *arguments: Any) -> None:
    one(*arguments, position=_line)
