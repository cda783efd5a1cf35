"""The page of the settings is that of their class, and says of each what it is."""

from __future__ import annotations

from config.settings.described import page
from config.settings.environment import Environment
from tests.service import REPOSITORY

ROWS = {
    cells[1].strip(" `"): [cell.strip() for cell in cells[2:-1]]
    for line in page().splitlines()
    if (cells := line.split("|"))[0] == "" and len(cells) > 1 and cells[1].startswith(" `")
}
MEASURED = ("seconds", "minutes", "hours", "days", "bytes")


def test_the_page_is_not_stale() -> None:
    """`make docs` writes it."""
    assert (REPOSITORY / "docs" / "configure.md").read_text() == page()


def test_every_setting_is_there_with_its_meaning() -> None:
    assert set(ROWS) == {name.upper() for name in Environment.model_fields}
    assert [name for name, cells in ROWS.items() if not cells[0]] == []


def test_whoever_is_measured_has_a_unit() -> None:
    measured = [name for name in ROWS if name.lower().rsplit("_", 1)[-1] in MEASURED]
    assert len(measured) > 10
    assert [name for name in measured if not ROWS[name][1]] == []


def test_defaults_and_limits_are_those_of_the_class() -> None:
    assert ROWS["PORT"][1:] == ["", "`8008`", "≥ 0, ≤ 65535"]
    assert ROWS["UPLOAD_MAX_BYTES"][1:] == ["bytes", "`5497558138880` (5 TiB)", "≥ 1"]
    assert ROWS["HEARTBEAT_SECONDS"][1:] == ["seconds", "`0.5`", "> 0"]
    assert ROWS["LOG_FORMAT"][2:] == ["`text`", "`text`, `json`"]
    assert ROWS["USER_QUOTA_BYTES"][2:] == ["unset", "≥ 1"]
    assert ROWS["LEGACY_FAIL_STATUS"][3] == "≥ 200, ≤ 599"
