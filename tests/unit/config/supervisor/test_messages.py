from __future__ import annotations

from config.supervisor.messages import Login, ready


def test_the_ready_message_tells_where_everything_is() -> None:
    text = ready("http://127.0.0.1:8008", 3.21, None)
    assert "Carryon is ready at http://127.0.0.1:8008 after 3.2 s\n" in text
    assert "http://127.0.0.1:8008/admin/" in text
    assert "http://127.0.0.1:8008/api/docs/" in text
    assert "token" not in text


def test_the_first_login_is_shown_with_it() -> None:
    rows = [line.split() for line in ready("http://h", 1, Login("admin", "secret", "abc")).splitlines()]
    assert ["user", "admin"] in rows
    assert ["password", "secret"] in rows
    assert ["token", "abc"] in rows
