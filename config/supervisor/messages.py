"""What the supervisor tells a person."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Login:
    """The first user, as it is shown once."""

    user: str
    password: str
    token: str


def ready(url: str, seconds: float, login: Login | None) -> str:
    """The message that everything works, with the first login when it was made in this start."""
    rows = [("admin", f"{url}/admin/"), ("API", f"{url}/api/docs/")]
    if login is not None:
        rows += [("user", login.user), ("password", login.password), ("token", login.token)]
    lines = [
        "",
        f"Carryon is ready at {url} after {seconds:.1f} s",
        "",
        *(f"  {name:<10}{value}" for name, value in rows),
    ]
    if login is not None:
        lines += ["", "  Keep the password and the token: only their hashes are stored, and they are not shown again."]
    return "\n".join([*lines, "", "  Ctrl-C stops everything.", "", ""])
