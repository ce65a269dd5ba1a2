"""Training several networks side by side, each in a process of its own."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from tqdm import tqdm

from ordlib.errors import InputError


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side(one: Any, pending: Sequence[tuple[str, int]], count: int) -> None:
    """Train in worker processes; on any failure, or Ctrl-C, end them all and leave checkpoints."""
    context = multiprocessing.get_context("spawn")
    lock, places = context.RLock(), context.Queue()
    tqdm.set_lock(lock)
    for place in range(count):
        places.put(place)
    pool = ProcessPoolExecutor(count, context, initializer=_start_worker, initargs=(lock, places))
    bar = tqdm(total=len(pending), desc="networks", position=count, disable=None)
    try:
        for future in as_completed([pool.submit(_work, one, *item) for item in pending]):
            future.result()
            bar.update()
    except BrokenProcessPool as error:
        raise InputError(
            "training: a worker process was killed, expected it to finish; was there too little"
            " memory? The same command continues, --jobs 1 needs the least memory"
        ) from error
    finally:
        bar.close()
        # after a failure, what is under way is not waited for
        for process in list((pool._processes or {}).values()) if sys.exc_info()[0] else ():
            process.terminate()
        pool.shutdown(cancel_futures=True)


_line = 0


def _start_worker(lock: Any, places: Any) -> None:
    global _line
    # Ctrl-C reaches the parent, which ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tqdm.set_lock(lock)
    torch.set_num_threads(1)
    _line = places.get()


def _end_with_parent() -> None:
    """A worker whose parent was killed ends too, and leaves its run to the next command."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(one: Any, row: str, seed: int) -> None:
    one(row, seed=seed, position=_line)
