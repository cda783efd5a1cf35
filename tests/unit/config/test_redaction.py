"""What must never be in a line, in whatever form a library may put it there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from config.redaction import MASK, MOST_CHARACTERS, Redaction, secrets_in

SECRET = "canary-5up3r"
CASES = Path("/srv/carryon/cases")
redaction = Redaction(secrets=["the configured key"], roots=[CASES])


@pytest.mark.parametrize(
    "text",
    [
        f"GET https://ann:{SECRET}@host/file failed",
        f"redis://:{SECRET}@host:6379/0",
        f"PUT https://bucket.s3.amazonaws.com/key?X-Amz-Credential=AKIA&X-Amz-Signature={SECRET}",
        f"https://host/a?sig={SECRET}#frag",
        f"https://host/a#access_token={SECRET}",
        f"/ws/events/?token={SECRET}&cid=a HTTP/1.1",
        f"Authorization: Token {SECRET}-{SECRET}",
        f"header Bearer {SECRET}{SECRET} refused",
        f"{{'Authorization': 'Basic {SECRET}'}}",
        f"password={SECRET}",
        f"login(password='{SECRET} with words')",
        json.dumps({"password": f'{SECRET} "quoted" {SECRET}'}),
        f"METRICS_TOKEN={SECRET}",
        f"aws_secret_access_key = {SECRET}",
        json.dumps({"pid": SECRET, "projectname": f"{SECRET} x", "s3keypath": f"a/{SECRET}/b"}),
        f"pid={SECRET}, projectname={SECRET}",
        f"s3keypath: {SECRET}/lab",
        f"[Errno 2] No such file or directory: '{CASES}/clinic/{SECRET} Smith/x.dcm'",
        f'[Errno 2] No such file or directory: "{CASES}/it\'s {SECRET}/x"',
        f"cannot read {CASES}/clinic/Ann {SECRET}/x y.dcm",
        f"duplicate key value\nDETAIL:  Key (owner_group_id, pid)=(clinic, {SECRET}) already exists.",
        f"Key (pid)=({SECRET}) already exists.",
        f"Failing\nCONTEXT:  row {SECRET}",
        f"cookie: X-Access-Token={SECRET}; a=b",
        f"{{'X-Amz-Security-Token': b'{SECRET}', 'Host': b'h'}}",
        f'{{"x-amz-security-token": "{SECRET} x"}}',
        f"x-amz-security-token:{SECRET}",
        f"--pid={SECRET} --patient-name={SECRET}",
        f"b'pid': b\"{SECRET} x\"",
    ],
)
def test_secrets_are_found_by_their_form(text: str) -> None:
    told = redaction.text(text)

    assert SECRET not in told
    assert MASK in told


def test_a_token_of_ours_is_found_alone() -> None:
    assert "a1" * 32 not in redaction.text(f"unknown {'a1' * 32}!")


def test_what_is_configured_is_masked_wherever_it_stands() -> None:
    assert redaction.text("xthe configured keyx") == f"x{MASK}x"


@pytest.mark.parametrize(
    "text",
    [
        "attempt failed",
        "HTTP 503 Service Unavailable",
        "https://host:8443/folder/file.bin",
        "worker-1@vm ready.",
        "the parts differ: 3, 4?",
        "a token of the past",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "/data/elsewhere/x",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redaction.text(text) == text


def test_values_are_masked_by_their_names_however_deep() -> None:
    event = redaction(
        None,
        "",
        {
            "event": "x",
            "pid": SECRET,
            "token": SECRET,
            "body": [{"s3keypath": SECRET}, (f"password={SECRET}",)],
            "error": ValueError(f"pid={SECRET}"),
            "attempt": 3,
            "retry_in_seconds": 0.5,
            "missing": None,
            "ok": True,
        },
    )

    assert SECRET not in repr(event)
    assert (event["attempt"], event["retry_in_seconds"], event["missing"], event["ok"]) == (3, 0.5, None, True)


def test_a_process_id_is_no_patient() -> None:
    assert redaction(None, "", {"pid": 4711}) == {"pid": 4711}


def test_a_line_has_an_end() -> None:
    assert len(redaction.text("x" * 10**6)) == MOST_CHARACTERS


def test_passwords_are_taken_out_of_addresses_in_both_forms() -> None:
    assert secrets_in("postgres://u:p%40ssword@host/db", "", "unix:///run/x") == ["p%40ssword", "p@ssword"]


@pytest.mark.parametrize(
    "piece",
    [
        "://",
        "a://",
        "/a?",
        "?",
        "token_",
        "token=",
        'token="',
        "token='\\",
        "Key (",
        "Key (a)=(",
        "a+",
        "' ",
        f"{CASES}/'",
        "a@",
    ],
)
def test_no_text_holds_a_process_up(piece: str) -> None:
    text = piece * (MOST_CHARACTERS // len(piece))

    began = time.perf_counter()
    redaction.text(text)
    assert time.perf_counter() - began < 0.5  # some ms; an expression that goes back over it takes seconds
