from __future__ import annotations

import pytest

from config.origins import is_cross_site

TRUSTED = ["https://carryon.example"]


@pytest.mark.parametrize(
    ("fetch_site", "origin", "host", "crosses"),
    [
        pytest.param("", "", "h:8008", False, id="no browser"),
        pytest.param("same-origin", "", "h:8008", False, id="own page"),
        pytest.param("none", "", "h:8008", False, id="typed by the user"),
        pytest.param("same-site", "", "h:8008", True, id="sister host"),
        pytest.param("cross-site", "", "h:8008", True, id="other site"),
        pytest.param("cross-site", "http://h:8008", "h:8008", True, id="other site, whatever Origin says"),
        pytest.param("cross-site", "https://carryon.example", "h:8008", False, id="trusted, other site"),
        pytest.param("same-origin", "https://evil.example", "h:8008", False, id="Sec-Fetch-Site cannot be forged"),
        pytest.param("gibberish", "", "h:8008", True, id="unknown value"),
        pytest.param("", "http://h:8008", "h:8008", False, id="old browser, own page"),
        pytest.param("", "https://H:8008", "h:8008", False, id="old browser, other case and scheme"),
        pytest.param("", "http://h", "h:8008", True, id="old browser, other port"),
        pytest.param("", "https://evil.example", "h:8008", True, id="old browser, other site"),
        pytest.param("", "https://evil.example/h:8008", "h:8008", True, id="host in the path"),
        pytest.param("", "https://h:8008@evil.example", "h:8008", True, id="host as user name"),
        pytest.param("", "null", "h:8008", True, id="sandboxed page"),
        pytest.param("", "null", "", True, id="sandboxed page, no Host"),
        pytest.param("", "http://[", "h:8008", True, id="not a URL"),
        pytest.param("", "https://carryon.example", "h:8008", False, id="old browser, trusted"),
        pytest.param("", "http://carryon.example", "h:8008", True, id="trusted by another scheme"),
    ],
)
def test_who_crosses(fetch_site: str, origin: str, host: str, crosses: bool) -> None:  # noqa: FBT001 - a table
    assert is_cross_site(fetch_site=fetch_site, origin=origin, host=host, trusted=TRUSTED) is crosses
