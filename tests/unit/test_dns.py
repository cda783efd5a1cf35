from __future__ import annotations

import socket

import pytest

from tests.dns import ResolverTable


def addresses(resolve: ResolverTable, name: str, family: int = 0) -> list[str]:
    return [str(found[4][0]) for found in resolve(name, 80, family)]


def test_answers_come_in_turn_and_the_last_stays() -> None:
    resolve = ResolverTable({"rebind.test": ["93.184.216.34", "127.0.0.1"]})
    assert [addresses(resolve, "rebind.test") for _ in range(3)] == [["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]]
    assert resolve.asked == ["rebind.test"] * 3


def test_one_answer_may_have_several_addresses_of_both_families() -> None:
    resolve = ResolverTable({"both.test": [["192.0.2.1", "2001:db8::1"]]})
    assert addresses(resolve, "both.test") == ["192.0.2.1", "2001:db8::1"]
    assert addresses(resolve, "both.test", socket.AF_INET6) == ["2001:db8::1"]


def test_the_shape_is_that_of_the_real_one() -> None:
    resolve = ResolverTable({})
    for literal in ("127.0.0.1", "::1"):
        real = socket.getaddrinfo(literal, 80, type=socket.SOCK_STREAM)
        assert [*map(tuple, resolve(literal, 80, type=socket.SOCK_STREAM))] == [*map(tuple, real)]


@pytest.mark.parametrize("name", ["unknown.test", "empty.test", "v4.test"])
def test_what_is_unknown_fails_as_the_real_one_does(name: str) -> None:
    resolve = ResolverTable({"empty.test": [[]], "v4.test": ["192.0.2.1"]})
    with pytest.raises(socket.gaierror):
        resolve(name, 80, socket.AF_INET6)
