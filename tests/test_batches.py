"""Batches of coming steps."""

import threading

import pytest

from ordlib.batches import ahead


@pytest.mark.parametrize("threads", [0, 1, 4])
@pytest.mark.parametrize("first", [0, 7])
def test_every_step_is_made_once_from_where_training_goes_on(threads: int, first: int) -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step**2

    with ahead(make, 20, threads) as take:
        assert [take(step) for step in range(first, 20)] == [s**2 for s in range(first, 20)]
    assert sorted(made) == list(range(first, 20))


def test_coming_steps_are_made_at_once() -> None:
    together = threading.Barrier(3, timeout=60)

    def make(step: int) -> int:
        together.wait()  # fails unless three steps are under way
        return step

    with ahead(make, 3, 3) as take:
        assert [take(step) for step in range(3)] == [0, 1, 2]


def test_an_error_is_raised_at_its_step() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("broken image")
        return step

    with ahead(make, 5, 4) as take:
        assert [take(0), take(1)] == [0, 1]
        with pytest.raises(ValueError, match="broken image"):
            take(2)
