"""What is shown and kept of a URL opens no door."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.engine.redaction import redacted, without_credentials

HOST = "https://media.example"

CREDENTIALS = {
    "none": (f"{HOST}/a.bin", f"{HOST}/a.bin"),
    "user": ("https://ann@media.example/a.bin", f"{HOST}/a.bin"),
    "user-and-password": ("https://ann:hush@media.example/a.bin", f"{HOST}/a.bin"),
    "password-alone": ("https://:hush@media.example/a.bin", f"{HOST}/a.bin"),
    "at-sign-in-the-password": ("https://ann:hu@sh@media.example/a.bin", f"{HOST}/a.bin"),
    "encoded": ("https://ann%40home:hu%2Fsh@media.example/a.bin", f"{HOST}/a.bin"),
    "port": ("https://ann:hush@media.example:8443/a.bin", "https://media.example:8443/a.bin"),
    "ipv6": ("https://ann:hush@[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
    "no-path": ("https://ann:hush@media.example", HOST),
    "path-with-an-at-sign": (f"{HOST}/@scope/a.bin", f"{HOST}/@scope/a.bin"),
    "query-with-an-at-sign": (f"{HOST}/a?to=x@y", f"{HOST}/a?to=x@y"),
}


@pytest.mark.parametrize(("url", "shown"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_user_name_and_password_are_gone(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
    assert redacted(url) == shown


PARAMETERS = {
    "nothing-secret": ("a=1&b=two", "a=1&b=two"),
    "untouched-when-nothing-is-masked": ("b=%7e+x&a&=&c=", "b=%7e+x&a&=&c="),
    "aws": (
        "X-Amz-Algorithm=A&X-Amz-Credential=hush&X-Amz-Date=D&X-Amz-Security-Token=hush&X-Amz-Signature=hush",
        "X-Amz-Algorithm=A&X-Amz-Credential=***&X-Amz-Date=D&X-Amz-Security-Token=***&X-Amz-Signature=***",
    ),
    "google": ("X-Goog-Signature=hush&X-Goog-Date=D", "X-Goog-Signature=***&X-Goog-Date=D"),
    "azure": ("sv=2021&sig=hush&se=D", "sv=2021&sig=***&se=D"),
    "cloudfront": ("Expires=1&Signature=hush", "Expires=1&Signature=***"),
    "any-case": ("TOKEN=hush&ApiKey=hush", "TOKEN=***&ApiKey=***"),
    "encoded-name": ("%74oken=hush&a+token=hush", "%74oken=***&a+token=***"),
    "twice": ("token=hush&token=hush", "token=***&token=***"),
    "empty": ("token=", "token=***"),
    "others-are-kept": ("name=a b&token=hush", "name=a b&token=***"),
    "keys-of-every-kind": (
        "access_key=hush&accountKey=hush&key=hush&x-key=hush",
        "access_key=***&accountKey=***&key=***&x-key=***",
    ),
    "semicolons": ("a=1;token=hush;still&b=2", "a=1;token=***&b=2"),
    "equals-sign-in-the-value": ("token=hush=hush&a=b=c", "token=***&a=b=c"),
    "no-value": ("token&a", "token&a"),
}


@pytest.mark.parametrize(("query", "shown"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_that_look_like_keys_are_masked(query: str, shown: str) -> None:
    assert redacted(f"{HOST}/a.bin?{query}") == f"{HOST}/a.bin?{shown}"


def test_what_names_the_file_keeps_its_parameters() -> None:
    assert without_credentials("https://ann:hush@media.example/a?token=t") == f"{HOST}/a?token=t"


@pytest.mark.parametrize(
    ("fragment", "shown"),
    [("page=2", "#page=2"), ("chapter", "#chapter"), ("access_token=hush&x=1", "#access_token=***&x=1")],
)
def test_a_fragment_is_masked_like_a_query(fragment: str, shown: str) -> None:
    assert redacted(f"{HOST}/a#{fragment}") == f"{HOST}/a{shown}"


SECRET = "5ecre7"
SECRETS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=5).map(lambda text: SECRET + text)


@given(user=SECRETS, password=SECRETS)
def test_no_user_name_and_password_is_shown(user: str, password: str) -> None:
    url = f"https://{quote(user, safe='')}:{quote(password, safe='')}@media.example/a"
    assert redacted(url) == without_credentials(url) == f"{HOST}/a"


@given(
    name=st.sampled_from(["token", "X-Amz-Signature", "sig", "client_secret", "pwd", "Authorization", "awsSecretKey"]),
    secret=SECRETS,
    others=st.lists(st.tuples(st.sampled_from(["a", "n", "version"]), st.text(max_size=8)), max_size=3),
    place=st.integers(0, 3),
)
def test_no_secret_parameter_is_shown(name: str, secret: str, others: list[tuple[str, str]], place: int) -> None:
    pairs = [f"{quote(key)}={quote(value, safe='')}" for key, value in others]
    pairs.insert(place, f"{name}={quote(secret, safe='')}")
    shown = redacted(f"{HOST}/a?{'&'.join(pairs)}")
    assert SECRET not in shown
    assert len(urlsplit(shown).query.split("&")) == len(pairs)
    assert redacted(shown) == shown, "once is enough"
