from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command
from knox.auth import TokenAuthentication
from knox.models import AuthToken

from transfers.management.commands import prepare

pytestmark = pytest.mark.django_db


def owner_of(token: str) -> str:
    user, _ = TokenAuthentication().authenticate_credentials(token.encode())  # type: ignore[no-untyped-call]
    return str(user.get_username())


def test_the_first_user_can_log_in_and_call() -> None:
    login = prepare.first_login(None)
    assert login is not None
    user = authenticate(username=login.user, password=login.password)
    assert isinstance(user, User)
    assert (user.username, user.is_staff, user.is_superuser) == ("admin", True, True)
    assert owner_of(login.token) == "admin"


def test_there_is_only_one_first_time(tmp_path: Path) -> None:
    note = tmp_path / "unshown"
    assert prepare.first_login(note) is not None
    note.unlink()
    assert prepare.first_login(note) is None
    assert User.objects.count() == 1
    assert AuthToken.objects.count() == 1


def test_any_user_at_all_is_enough() -> None:
    User.objects.create_user("somebody")
    assert prepare.first_login(None) is None


def test_secrets_that_nobody_has_seen_are_made_anew(tmp_path: Path) -> None:
    note = tmp_path / "unshown"
    lost = prepare.first_login(note)
    shown = prepare.first_login(note)
    assert lost is not None
    assert shown is not None
    assert authenticate(username=shown.user, password=lost.password) is None
    assert authenticate(username=shown.user, password=shown.password) is not None
    assert AuthToken.objects.count() == 1
    assert owner_of(shown.token) == "admin"


def test_a_token_that_somebody_made_meanwhile_is_kept(tmp_path: Path) -> None:
    note = tmp_path / "unshown"
    prepare.first_login(note)
    _, own = AuthToken.objects.create(User.objects.get())  # type: ignore[no-untyped-call]
    prepare.first_login(note)
    assert owner_of(own) == "admin"


def test_the_note_holds_no_secret(tmp_path: Path) -> None:
    note = tmp_path / "unshown"
    login = prepare.first_login(note)
    assert login is not None
    assert login.token not in note.read_text()
    assert login.password not in note.read_text()


@pytest.mark.parametrize("content", ["", "of another database"], ids=["empty", "foreign"])
def test_a_note_that_means_nothing_changes_nothing(tmp_path: Path, content: str) -> None:
    User.objects.create_user("admin")
    (tmp_path / "unshown").write_text(content)
    assert prepare.first_login(tmp_path / "unshown") is None


def test_the_supervisor_is_told_through_the_descriptor() -> None:
    reading, writing = os.pipe()
    call_command("prepare", login_fd=writing)
    with os.fdopen(reading) as answer:
        told = json.load(answer)
    assert owner_of(told["token"]) == told["user"] == "admin"


def test_a_person_is_told_in_words() -> None:
    output = StringIO()
    call_command("prepare", stdout=output)
    rows = dict(line.split() for line in output.getvalue().splitlines())
    assert owner_of(rows["token"]) == "admin"
    again = StringIO()
    call_command("prepare", stdout=again)
    assert again.getvalue() == ""
