"""Work side by side, one thread a process: networks that are trained, notebooks that run."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from tqdm import tqdm

from ordlib.errors import InputError
from ordlib.files import outputs_root

Call = Callable[[], object]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side(
    title: str,
    calls: Mapping[str, Call],
    count: int,
    say: Callable[[str], None] = print,
    *,
    bars: bool = False,
) -> None:
    """Make all calls in `count` processes; after a failure, or Ctrl-C, none of them is left.

    Args:
        title: what the calls do.
        calls: by name, in the order in which they begin.
        count: processes at most.
        say: gets a line for each call that is done and, off a terminal, one each minute.
        bars: on a terminal the calls show bars on their `line`, and one below stands for them all.

    Raises:
        InputError: the system has killed a process.
    """
    terminal, began, finished = sys.stderr.isatty(), time.monotonic(), 0
    waiting, running = iter(calls.items()), dict[Future[object], str]()
    count = max(1, min(count, len(calls)))
    bar = tqdm(total=len(calls), desc=title, position=count, disable=not (bars and terminal))
    with bar, _workers(title, count) as submit:
        while True:
            for name, call in islice(waiting, count - len(running)):
                running[submit(call)] = name
            if not running:
                return
            done = wait(running, timeout=60, return_when=FIRST_COMPLETED).done
            elapsed = span(time.monotonic() - began)
            for future in done:
                future.result()
                finished, name = finished + 1, running.pop(future)
                bar.update()
                if bar.disable:
                    say(f"[{finished}/{len(calls)}] {name}: done; elapsed {elapsed}")
            if not (done or terminal):
                names = ", ".join(running.values())
                say(f"{title}: {finished} of {len(calls)} done; elapsed {elapsed}; now {names}")


def span(seconds: float) -> str:
    """A time as `3 min 20 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def _workers(title: str, count: int) -> Iterator[Callable[[Call], Future[object]]]:
    """What hands a call to one of `count` processes, which end with the block or this process."""
    context = multiprocessing.get_context("spawn")
    lock, lines = context.RLock(), context.Queue()
    for number in range(count):
        lines.put(number)
    pool = ProcessPoolExecutor(count, context, _begin, (lock, lines))

    def submit(call: Call) -> Future[object]:
        with _inherited():
            return pool.submit(_make, call)

    try:
        yield submit
    except BrokenProcessPool as error:
        raise InputError(
            f"{title}: a worker process was killed, expected it to finish; was there too little"
            " memory? The same command continues, --jobs 1 needs the least memory"
        ) from error
    finally:
        if sys.exc_info()[0]:  # after a failure what is under way is not waited for
            for process in multiprocessing.active_children():
                process.terminate()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _inherited() -> Iterator[None]:
    """What processes take over that are started inside, and the kernels that they start.

    One thread and fixed hashing: the same digits in the same order on every machine. Ctrl-C is for
    this process, which ends the others.
    """
    before = dict(os.environ)
    os.environ.update(
        OMP_NUM_THREADS="1", PYTHONHASHSEED="0", ORDLIB_OUTPUTS=str(outputs_root().resolve())
    )
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_line = 0


def line() -> int:
    """The line of the terminal that the bars of this process have for themselves."""
    return _line


def _begin(lock: Any, lines: Any) -> None:
    global _line
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    tqdm.set_lock(lock)
    _line = lines.get()


def _make(call: Call) -> None:
    call()  # its result stays where it is


def _end_with_parent() -> None:
    """End this process when its parent was killed; the next command goes on from here."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
