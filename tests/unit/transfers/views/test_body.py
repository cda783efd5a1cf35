"""Request bodies and the forms in them, in any pieces, cut anywhere, and forms that are none."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpRequest
from hypothesis import example, given
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError

from tests.e2e.uploads import BOUNDARY, File, Form
from transfers.errors import BodyCutOffError
from transfers.views.body import FIELDS_BYTES, MAX_FIELDS, MAX_HEADER_BYTES, Body, FormFile, StreamedForm

CONTENT = random.Random(3).randbytes(3000)
TIMES = 10


class Stream:
    """A connection that gives so many bytes at a time, and breaks where it is told to."""

    def __init__(self, content: bytes, piece: int = 2**20, breaks_at: int | None = None) -> None:
        self._content, self._piece, self._breaks_at = content, piece, breaks_at
        self.taken = 0

    def read1(self, size: int) -> bytes:
        if self.taken == self._breaks_at:
            raise ConnectionError("the client is gone")
        end = min(self.taken + min(size, self._piece), self._breaks_at or len(self._content))
        chunk = self._content[self.taken : end]
        self.taken += len(chunk)
        return chunk

    read = read1


class Direct(Stream):
    """One that fills buffers, as a borrowed socket does."""

    def readinto(self, buffer: memoryview) -> int:
        chunk = self.read1(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


class Plain:
    """One that only knows `read`, as the bridge's does."""

    def __init__(self, content: bytes, piece: int = 2**20, breaks_at: int | None = None) -> None:
        self._stream = Stream(content, piece, breaks_at)

    def read(self, size: int) -> bytes:
        return self._stream.read1(size)


STREAMS = pytest.mark.parametrize("kind", [Stream, Direct, Plain])


def body_of(stream: object, size: int) -> Body:
    request = HttpRequest()
    request.META = {"wsgi.input": stream, "CONTENT_LENGTH": str(size)}
    return Body(request)


def pieces_of(read: Callable[[memoryview], int], size: int = 700) -> Iterator[bytes]:
    buffer = memoryview(bytearray(size))
    while count := read(buffer):
        yield bytes(buffer[:count])


def form_of(content: bytes, piece: int = 2**20, size: int | None = None) -> StreamedForm:
    return StreamedForm(body_of(Stream(content, piece), len(content) if size is None else size), BOUNDARY)


def read_whole(form: StreamedForm) -> tuple[dict[str, str], bytes | None]:
    """All fields, and the file's bytes."""
    form.read_fields()
    return read_rest(form)


def read_rest(form: StreamedForm) -> tuple[dict[str, str], bytes | None]:
    """The same of one whose file has begun."""
    content = None if form.file is None else b"".join(pieces_of(form.file.readinto))
    form.finish()
    return form.fields, content


def begun(form: StreamedForm) -> FormFile:
    """The file of the form, none of which was read yet."""
    form.read_fields()
    assert form.file is not None
    return form.file


# The body ------------------------------------------------------------------------------------------------------------


@STREAMS
@pytest.mark.parametrize("piece", [1, 7, 1000, 2**20])
def test_a_body_is_read_to_its_announced_end(kind: Callable[..., Any], piece: int) -> None:
    for read in (
        lambda body: b"".join(pieces_of(body.readinto)),
        lambda body: b"".join(iter(lambda: body.read(99), b"")),
    ):
        assert read(body_of(kind(CONTENT + b"the next request", piece), len(CONTENT))) == CONTENT


@STREAMS
def test_a_body_without_bytes_is_not_even_asked_for(kind: Callable[..., Any]) -> None:
    body = body_of(kind(b"", breaks_at=0), 0)
    assert (body.read(), body.readinto(memoryview(bytearray(5)))) == (b"", 0)


@STREAMS
@pytest.mark.parametrize("end", ["it ends", "it breaks"])
def test_a_body_that_is_cut_off_fails_and_does_not_end(kind: Callable[..., Any], end: str) -> None:
    breaks_at = 1000 if end == "it breaks" else None
    for read in (lambda body: list(pieces_of(body.readinto)), lambda body: list(iter(body.read, b""))):
        with pytest.raises(BodyCutOffError):
            read(body_of(kind(CONTENT[:1000], 300, breaks_at), 1001))


def test_a_request_without_a_length_has_no_body() -> None:
    request = HttpRequest()
    request.META = {"wsgi.input": Stream(b"x")}
    assert Body(request).size == 0


# Forms that are well-formed ------------------------------------------------------------------------------------------

FIELDS = [("option", "initiate"), ("catalog", "Bücher"), ("empty", ""), ("file", File(CONTENT, "fílm.mov"))]


@pytest.mark.parametrize("piece", [1, 2, 3, 64, 1000, 2**20])
@pytest.mark.parametrize("place", range(4))
def test_a_form_in_any_order_and_any_pieces(place: int, piece: int) -> None:
    fields = FIELDS[:3]
    fields.insert(place, FIELDS[3])
    form = form_of(Form(fields).encode(), piece)
    file = begun(form)
    assert form.fields == dict(fields[:place])
    assert (file.name, file.content_type) == ("fílm.mov", "video/quicktime")
    assert read_rest(form) == (dict(FIELDS[:3]), CONTENT)


@pytest.mark.parametrize("piece", [1, 2, 61, 1000, 2**20])
@pytest.mark.parametrize(
    ("form", "told"),
    [
        pytest.param(Form(FIELDS), 0, id="as all write it"),
        pytest.param(Form(FIELDS, end=b"--"), -2, id="without the last line break"),
        pytest.param(Form(FIELDS, preamble=b"This is a multi-part message.\r\n"), 0, id="with a preamble"),
        pytest.param(Form(FIELDS, end=b"--\r\nThe end.\r\n"), 10, id="with an epilogue"),
        pytest.param(Form([*FIELDS, ("after", "")]), None, id="with a field behind the file"),
        pytest.param(Form([("file", File(b"", "x"))]), 0, id="of an empty file"),
        pytest.param(Form([("file", File(b"\r\n--" + BOUNDARY[:-1].encode()))]), 0, id="of all but a boundary"),
    ],
)
def test_how_large_the_file_is_expected_to_be(form: Form, told: int | None, piece: int) -> None:
    """What comes last is known to the byte; a little less is expected only where the form ends a little early."""
    content = dict(form.fields)["file"].content  # type: ignore[attr-defined]
    file = begun(form_of(form.encode(), piece))
    assert b"".join(pieces_of(file.readinto)) == content
    if piece == 2**20:  # all of it is here, so that its end can be seen
        assert file.size == len(content)
    elif told is None:
        assert file.size > len(content)
    else:
        assert file.size == len(content) + told


def test_of_several_fields_of_a_name_the_first_counts() -> None:
    form = Form([("part", 1), ("part", 2), ("file", File(b"a", "1")), ("part", 3), ("file", File(b"b", "2"))])
    assert read_whole(form_of(form.encode())) == ({"part": "1", "file": "b"}, b"a")


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        pytest.param(File(b"x", None, None), "", "", id="no name, no type"),
        pytest.param(File(b"x", "", "text/plain"), "", "text/plain", id="an empty name"),
        pytest.param(File(b"x", "a;b=c.txt", None), "a;b=c.txt", "", id="what looks like options"),
        pytest.param(File(b"x", "%22quoted%22", None), '"quoted"', "", id="quotes as browsers write them"),
        pytest.param(File(b"x", 'say \\"hi\\"', None), 'say "hi"', "", id="quotes as curl writes them"),
        pytest.param(File(b"x", "C:\\fakepath\\film.mov", None), "film.mov", "", id="a fake path"),
        pytest.param(File(b"x", "日本語 🎬.mov", None), "日本語 🎬.mov", "", id="any script"),
    ],
)
def test_what_is_told_of_the_file(file: File, name: str, kind: str) -> None:
    found = begun(form_of(Form([("file", file)]).encode()))
    assert (found.name, found.content_type) == (name, kind)


def test_a_form_without_a_file_and_one_without_anything() -> None:
    assert read_whole(form_of(Form([("option", "abort")]).encode())) == ({"option": "abort"}, None)
    assert read_whole(form_of(Form([]).encode())) == ({}, None)


def test_the_file_is_read_no_further_than_it_is_asked_for() -> None:
    content = bytes(5 * 2**20)
    encoded = Form([("part", 1), ("file", File(content))]).encode()
    stream = Stream(encoded)
    form = StreamedForm(body_of(stream, len(encoded)), BOUNDARY)
    file = begun(form)
    assert stream.taken <= 2**18
    next(pieces_of(file.readinto))
    assert stream.taken <= 2**19
    form.finish()
    assert stream.taken == len(encoded)


values = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
contents = st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--", BOUNDARY.encode(), BOUNDARY.encode()[:9], b"\0"])
    | st.binary(max_size=40),
    max_size=12,
).map(b"".join)
forms = st.builds(
    lambda before, content, after, preamble, end: Form(
        [*before, *([("file", File(content))] if content is not None else []), *after], preamble, end
    ),
    before=st.lists(st.tuples(st.sampled_from("abc"), values), max_size=4),
    content=st.none() | contents.filter(lambda content: b"\r\n--" + BOUNDARY.encode() not in b"\r\n" + content),
    after=st.lists(st.tuples(st.sampled_from("cde"), values), max_size=2),
    preamble=st.sampled_from([b"", b"\r\n", b"words\r\n", b"-" * 50 + b"\r\n"]),
    end=st.sampled_from([b"--\r\n", b"--", b"--\r\nwords", b"--x"]),
)


def expected_of(form: Form) -> tuple[dict[str, str], bytes | None]:
    texts = [(name, str(value)) for name, value in form.fields if not isinstance(value, File)]
    files = [value.content for _, value in form.fields if isinstance(value, File)]
    return dict(reversed(texts)), files[0] if files else None


@given(form=forms, piece=st.integers(1, 200))
def test_whatever_was_written_is_read(form: Form, piece: int) -> None:
    assert read_whole(form_of(form.encode(), piece)) == expected_of(form)


@given(form=forms, piece=st.integers(1, 200))
def test_the_file_of_any_form_is_as_large_as_expected_or_a_line_break_larger(form: Form, piece: int) -> None:
    streamed = form_of(form.encode(), piece)
    streamed.read_fields()
    if streamed.file is not None:
        size = streamed.file.size
        assert size >= len(b"".join(pieces_of(streamed.file.readinto))) - 2


# Forms that are not --------------------------------------------------------------------------------------------------

REFUSED = (ParseError, BodyCutOffError)


@pytest.mark.parametrize("announced", ["all of it", "what came"])
@pytest.mark.parametrize("piece", [1, 50, 2**20])
def test_a_form_that_is_cut_anywhere_is_refused(piece: int, announced: str) -> None:
    whole = Form([("part", 1), ("file", File(b"0123456789")), ("after", "words")], end=b"--").encode()
    for end in range(len(whole)):
        with pytest.raises(REFUSED):
            read_whole(form_of(whole[:end], piece, len(whole) if announced == "all of it" else None))


def test_a_file_whose_end_is_not_seen_does_not_end() -> None:
    whole = Form([("file", File(b"0123456789"))]).encode()
    for end in range(whole.index(b"0123"), len(whole) - 2):
        file = begun(form_of(whole[:end], 1, len(whole)))
        with pytest.raises(BodyCutOffError):
            list(pieces_of(file.readinto))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"words", id="words"),
        pytest.param(Form([("a", "b")], boundary="another").encode(), id="another boundary"),
        pytest.param(Form([("a", "b")]).encode().replace(b"\r\n", b"\n"), id="other line breaks"),
        pytest.param(Form([("a", "b")]).encode().replace(b"form-data", b"attachment"), id="no form's fields"),
        pytest.param(Form([("a", "b")]).encode().replace(b"Content-Disposition", b"X"), id="without a disposition"),
        pytest.param(Form([("a", "b")]).encode().replace(b": ", b" "), id="headers without colons"),
        pytest.param(Form([("a", "b")]).encode().replace(b'"a"', b'"\xff"'), id="a name that is no text"),
        pytest.param(Form([("a", "b")], end=b"xx").encode(), id="bytes behind the boundary"),
        pytest.param(Form([("a", "b")]).encode().replace(b"b", b"\xff", 1), id="a value that is no text"),
        pytest.param(b"x" + Form([("a", "b")]).encode(), id="a boundary amid a line"),
        pytest.param(Form([(str(n), "") for n in range(MAX_FIELDS + 1)]).encode(), id="too many fields"),
        pytest.param(Form([("a", "x" * (FIELDS_BYTES + 1))]).encode(), id="a field that is too large"),
        pytest.param(Form([("a", "x" * (FIELDS_BYTES // 9))] * 10).encode(), id="fields that are together"),
        pytest.param(Form([("x" * (MAX_HEADER_BYTES + 1), "")]).encode(), id="a header that is too large"),
        pytest.param(Form([("file", File(b"", "x", "a/b\r\nX-Y: z" * 9))]).encode(), id="too many headers"),
    ],
)
@pytest.mark.parametrize("piece", [1000, 2**20])
def test_what_is_no_form_is_refused(content: bytes, piece: int) -> None:
    with pytest.raises(ParseError):
        read_whole(form_of(content, piece))


@pytest.mark.parametrize("boundary", ["", "a\nb"])
def test_a_boundary_that_is_none_is_refused(boundary: str) -> None:
    with pytest.raises(ParseError):
        StreamedForm(body_of(Stream(b""), 0), boundary)


def test_as_much_as_a_form_may_have() -> None:
    fields = [(str(n), "x" * (FIELDS_BYTES // MAX_FIELDS)) for n in range(MAX_FIELDS - 1)]
    assert read_whole(form_of(Form([*fields, ("file", File(b"x"))]).encode(), 5000)) == (dict(fields), b"x")


@given(
    form=forms,
    damage=st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=6), st.integers(0, 6)), min_size=1, max_size=4),
    piece=st.integers(1, 200),
)
@example(form=Form([]), damage=[(0, b"", 4)], piece=1)
def test_damaged_forms_are_read_or_refused(form: Form, damage: list[tuple[int, bytes, int]], piece: int) -> None:
    content = form.encode()
    for place, put, taken in damage:
        content = content[:place] + put + content[place + taken :]
    try:
        fields, file = read_whole(form_of(content, piece))
    except ParseError:
        return
    assert all(isinstance(value, str) for value in fields.values())
    assert file is None or file in content
