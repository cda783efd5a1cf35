"""The body of a request as a stream, and a form in it whose file is read by whoever wants it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from django.http import HttpRequest
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from rest_framework.exceptions import ParseError

from transfers.errors import BodyCutOffError

CHUNK_BYTES = 2**18
FIELDS_BYTES = 2**20
"""Bytes that all fields of a form but its file may have together: 10,000 parts with their MD5s need half of it."""
MAX_FIELDS = 100
MAX_HEADER_BYTES = 16 * 2**10
FILE = "file"
_END = "\r\n--{}--\r\n"


def boundary(content_type: str) -> str:
    """What separates the fields of a form; ParseError when its Content-Type does not tell."""
    parse: Callable[[str], tuple[str, dict[str, str]]] = parse_options_header
    found = parse(content_type)[1].get("boundary")
    if not found:
        raise ParseError("The form's Content-Type names no boundary.")
    return found


class Body:
    """A request's body, which fails where it is cut off; `size` is what is announced, in bytes.

    BodyCutOffError when it ends, or falls silent, before that.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._stream: Any = request.META["wsgi.input"]
        self.size = int(request.META.get("CONTENT_LENGTH") or 0)
        self._left = self.size

    def readinto(self, buffer: memoryview) -> int:
        """Fill the start of the buffer with the next bytes; 0 only at the end."""
        if not hasattr(self._stream, "readinto"):  # what lies in memory already
            chunk = self.read(len(buffer))
            buffer[: len(chunk)] = chunk
            return len(chunk)
        if not self._left:
            return 0
        try:
            count: int = self._stream.readinto(buffer[: self._left])
        except OSError as error:
            raise _cut_off(error) from error
        return self._counted(count)

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """The next bytes, at most `size`; none only at the end."""
        if not self._left:
            return b""
        read = getattr(self._stream, "read1", self._stream.read)
        try:
            chunk: bytes = read(min(size, self._left))
        except OSError as error:
            raise _cut_off(error) from error
        self._counted(len(chunk))
        return chunk

    def _counted(self, count: int) -> int:
        if not count:
            raise BodyCutOffError(f"The body was cut off: {self._left} of {self.size} bytes are missing.")
        self._left -= count
        return count


def _cut_off(error: OSError) -> BodyCutOffError:
    return BodyCutOffError(f"The body was cut off: {error}.")


class FormFile:
    """The file of a form that is being read; `name` is "" when the client gave none."""

    def __init__(self, form: StreamedForm, segment: MultipartSegment, size: int, *, is_sure: bool) -> None:
        self.form = form
        self.name: str = segment.filename or ""
        self.content_type: str = segment.content_type or ""
        self.size = size
        """Bytes, if it is the form's last field; otherwise it has fewer."""
        self.slack = 0 if is_sure else FIELDS_BYTES
        """How many fewer it may have."""
        self.promise: Callable[[], str] = str
        """What tells, as soon as the whole form has been read, which MD5 the file was promised to have."""
        self.promised_md5 = ""
        self._ahead = memoryview(b"")
        self._ended = False

    def readinto(self, buffer: memoryview) -> int:
        """Fill the start of the buffer with the next bytes; 0 only at the end, when the whole form has been read."""
        if not self._ahead and not self._ended:
            self._ahead = self._next()
        count = min(len(buffer), len(self._ahead))
        buffer[:count], self._ahead = self._ahead[:count], self._ahead[count:]
        return count

    def drop(self) -> None:
        """Read to its end and keep nothing."""
        self._ahead = memoryview(b"")
        while not self._ended:
            self._next()

    def close(self) -> None:
        """Django closes the files of a request; there is nothing to close."""

    def _next(self) -> memoryview:
        event = self.form.next_event()
        if event is None:
            self._ended = True
            self.form.finish()
            self.promised_md5 = self.promise()
        return memoryview(event or b"")


class StreamedForm:
    """`multipart/form-data` as it comes in (RFC 7578): the fields up to the file, the file as a stream, the rest.

    `fields` grows as the form is read; of several of one name the first counts. ParseError for what is no such form,
    and for fields that are too many or too large.
    """

    def __init__(self, body: Body, boundary: str) -> None:
        self._body = body
        self._end_bytes = len(_END.format(boundary).encode())
        self._read = 0
        self._pending: deque[Any] = deque()
        self._field_bytes = 0
        self.fields: dict[str, str] = {}
        self.file: FormFile | None = None
        with _parse_errors():
            self._parser = _Parser(boundary, max_header_size=MAX_HEADER_BYTES, max_segment_count=MAX_FIELDS)

    def read_fields(self) -> None:
        """Read on until the file begins, or the form ends."""
        for event in self._events():
            if event.name == FILE and self.file is None:
                size, is_sure = self._size_of_file()
                self.file = FormFile(self, event, size, is_sure=is_sure)
                return
            value = self._value()
            self.fields.setdefault(str(event.name), value)

    def finish(self) -> None:
        """Read what is left, and drop it but for the fields."""
        if self.file is not None:
            self.file.drop()
        self.read_fields()

    def next_event(self) -> Any:
        """What the parser tells next: a segment, bytes of it, or None at its end; ParseError when nothing is left."""
        if self._pending or self._read_on():
            return self._pending.popleft()
        raise ParseError("The form ends in the middle of a field.")

    def _events(self) -> Iterator[MultipartSegment]:
        while self._pending or self._read_on():
            yield self._pending.popleft()

    def _read_on(self) -> bool:
        """Read until the parser has something to tell; False at the form's end."""
        while not self._pending and (chunk := self._body.read()):
            self._read += len(chunk)
            with _parse_errors():
                self._pending.extend(self._parser.parse(chunk))
        if not self._pending:
            with _parse_errors():
                list(self._parser.parse(b""))  # the end of the input: an error unless the form has ended too
        return bool(self._pending)

    def _value(self) -> str:
        pieces = []
        while (event := self.next_event()) is not None:
            self._field_bytes += len(event)
            if self._field_bytes > FIELDS_BYTES:
                raise ParseError(f"The fields of the form have more than {FIELDS_BYTES} bytes.")
            pieces.append(bytes(event))
        try:
            return b"".join(pieces).decode()
        except UnicodeDecodeError:
            raise ParseError("A field of the form is not UTF-8.") from None

    def _size_of_file(self) -> tuple[int, bool]:
        """How many bytes the file that begins now has, if the form ends with it as forms do; whether that is sure."""
        here = 0
        for event in self._pending:
            if event is None:
                return here, True
            here += len(event)
        begun_at = self._read - here - self._parser.held
        return max(0, self._body.size - begun_at - self._end_bytes), False


class _Parser(PushMultipartParser):
    @property
    def held(self) -> int:
        """Bytes that may be the beginning of a delimiter, and wait for more."""
        return len(self._buffer)


class _parse_errors:  # noqa: N801 - a context manager in the place of a function
    """Tell a malformed form as a client's fault."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, MultipartError):
            raise ParseError(f"The form cannot be read: {error.args[0]}.") from None
