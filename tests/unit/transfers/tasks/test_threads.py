from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pytest_django.fixtures import Settings

from tests.integration.transfers.rows import use
from transfers.tasks import threads
from transfers.tasks.threads import CHECKSUMS, ZIPS, thread_for


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """The threads are counted by the settings of the test."""
    threads._free.cache_clear()
    yield
    threads._free.cache_clear()


def taken(kinds: list[str], until_end: ExitStack) -> list[bool]:
    return [until_end.enter_context(thread_for(kind)) for kind in kinds]


@pytest.mark.parametrize("count", [3, 4, 5, 16])
@pytest.mark.parametrize(("first", "second"), [(ZIPS, CHECKSUMS), (CHECKSUMS, ZIPS)])
def test_one_is_left_for_the_other_kind_and_one_for_what_is_short(
    first: str, second: str, count: int, settings: Settings
) -> None:
    use(settings, worker_cpu_threads=count)
    with ExitStack() as until_end:
        assert taken([first] * count, until_end) == [True] * (count - 2) + [False] * 2
        assert taken([second] * count, until_end) == [True] + [False] * (count - 1)
    with ExitStack() as until_end:
        assert taken([second] * count, until_end) == [True] * (count - 2) + [False] * 2, "all were given back"


def test_two_threads_are_one_of_each(settings: Settings) -> None:
    use(settings, worker_cpu_threads=2)
    with ExitStack() as until_end:
        assert taken([ZIPS, ZIPS, CHECKSUMS, CHECKSUMS], until_end) == [True, False, True, False]
