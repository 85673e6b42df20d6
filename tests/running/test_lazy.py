"""An attribute that is made when it is first asked for."""

from __future__ import annotations

import threading

from callbridge.running.lazy import Lazy


class Holder:
    held: list[int] = Lazy(list)  # type: ignore[assignment]


def test_nothing_is_made_until_somebody_asks() -> None:
    holder = Holder()
    assert vars(holder) == {}
    holder.held.append(1)
    assert vars(holder) == {"held": [1]}


def test_each_instance_has_its_own() -> None:
    one, other = Holder(), Holder()
    one.held.append(1)
    assert other.held == []


def test_it_may_be_set() -> None:
    holder = Holder()
    holder.held = [2]
    assert holder.held == [2]


def test_threads_that_ask_at_once_get_the_same() -> None:
    both = threading.Barrier(2)

    def make() -> list[int]:
        both.wait()
        return []

    class Slow:
        held = Lazy(make)

    slow = Slow()
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(slow.held)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] is found[1]
