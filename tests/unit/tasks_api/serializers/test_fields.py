"""Numbers and times in the forms that clients send them in."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from tasks_api.serializers.fields import MAX_NUMBER, MomentField, NumberField, TextField


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (5, 5),
        (5.0, 5),
        (1.024e5, 102400),
        ("5", 5),
        ("+5", 5),
        (" 5 ", 5),
        ("005", 5),
        ("5.", 5),
        ("102400.0", 102400),
        ("1.024e+05", 102400),
        ("1.024E5", 102400),
        ("-0", 0),
        (-0.0, 0),
        (MAX_NUMBER, MAX_NUMBER),
        (str(MAX_NUMBER), MAX_NUMBER),
        (f"{MAX_NUMBER}.000", MAX_NUMBER),
    ],
)
def test_numbers(given: Any, number: int) -> None:
    found = NumberField().run_validation(given)
    assert (found, type(found)) == (number, int)


@given(
    st.one_of(
        st.text(),
        st.floats(),
        st.integers(),
        st.booleans(),
        st.binary(),
        st.lists(st.integers()),
        st.from_regex(r"\A[-+]?\d*\.?\d*[eE]?[-+]?\d*\Z"),
    )
)
def test_anything_is_a_number_in_bounds_or_refused(value: Any) -> None:
    try:
        found = NumberField().run_validation(value)
    except ValidationError:
        return
    assert 0 <= found <= MAX_NUMBER
    assert found == int(float(value)) or found == int(str(value).strip().partition(".")[0])


@given(st.text())
def test_any_text_is_kept_as_it_is_or_refused(value: str) -> None:
    try:
        assert TextField(max_length=50).run_validation(value) == value
    except ValidationError:
        assert not value.strip() or len(value) > 50 or not value.isprintable()


@pytest.mark.parametrize("value", [0, 283509238, 1.5, True, ["a"], {"a": "b"}, b"a"])
def test_what_is_no_text_is_not_made_one(value: Any) -> None:
    with pytest.raises(ValidationError):
        TextField(max_length=50).run_validation(value)


@pytest.mark.parametrize(
    "text",
    [
        "2018-05-06T12:00:00Z",
        "2018-05-06T14:00:00+02:00",
        "2018-05-06T14:00:00 02:00",
        "2018-05-06 14:00:00+02:00",
        "2018-05-06 12:00:00",
        "2018-05-06T12:00",
    ],
)
def test_times(text: str) -> None:
    assert MomentField().run_validation(text) == datetime(2018, 5, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0001-01-01T00:01:00.0+01:00", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59-01:00", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_times_beyond_the_calendar_are_its_ends(text: str, moment: datetime) -> None:
    assert MomentField().run_validation(text) == moment


@given(st.one_of(st.text(), st.datetimes().map(str)))
def test_anything_is_a_time_or_refused(text: str) -> None:
    with suppress(ValidationError):
        assert MomentField().run_validation(text).tzinfo is not None
