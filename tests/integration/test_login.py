"""Lockout over time, within one process: that it ends, that nobody can make it last, and what is remembered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from tests.integration.transfers.rows import use

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

PASSWORD = "correct horse battery staple"
COOL_OFF = timedelta(minutes=10)


@pytest.fixture(autouse=True)
def soon_locked(settings: Settings) -> None:
    """Two wrong passwords lock out; an address may try as often as it likes."""
    use(settings, rate_limit_login="off")
    settings.AXES_FAILURE_LIMIT = 2
    settings.AXES_COOLOFF_TIME = COOL_OFF
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_user("ann", password=PASSWORD)


def log_in(password: str, name: str = "ann", address: str = "203.0.113.7") -> int:
    form = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address).post("/login/", form).status_code


def test_a_lockout_ends_though_somebody_goes_on_trying() -> None:
    assert [log_in("wrong") for _ in range(2)] == [200, 429]
    began = AccessAttempt.objects.get().attempt_time
    assert [log_in("still wrong") for _ in range(3)] == [429] * 3
    assert AccessAttempt.objects.get().attempt_time == began
    AccessAttempt.objects.update(attempt_time=timezone.now() - COOL_OFF)
    assert log_in(PASSWORD) == 302


def test_the_right_password_forgets_the_wrong_ones_of_its_own_user_and_address_alone() -> None:
    log_in("wrong")
    log_in("wrong", address="203.0.113.8")
    log_in("wrong", name="bob")
    assert log_in(PASSWORD) == 302
    left = AccessAttempt.objects.order_by("pk").values_list("username", "ip_address")
    assert list(left) == [("ann", "203.0.113.8"), ("bob", "203.0.113.7")]


@pytest.mark.parametrize("name", ["ann ", "ａnn"], ids=["space", "wide letter"])  # noqa: RUF001
def test_another_spelling_of_a_name_counts_as_the_same(name: str) -> None:
    assert [log_in("wrong", name=name) for _ in range(2)] == [200, 429]
    assert log_in(PASSWORD) == 429


@pytest.mark.parametrize("name", ["a" * 1000, "nul\0l", "ünï", "'; --"])
def test_no_name_breaks_anything(name: str) -> None:
    assert log_in("wrong", name=name) == 200


def test_nothing_of_a_password_is_kept() -> None:
    log_in("hunter2-typed")
    row = AccessAttempt.objects.get()
    assert "hunter2" not in f"{row.get_data} {row.post_data} {row.path_info}"


def test_a_program_on_the_server_is_never_locked_out() -> None:
    for _ in range(3):
        log_in("wrong")
    assert authenticate(username="ann", password=PASSWORD) == User.objects.get()
