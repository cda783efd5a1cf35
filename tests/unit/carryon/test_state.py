"""What is remembered survives anything, and is never written by two at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from carryon.errors import InUseError, StateError, Stopped
from carryon.local_file import Fingerprint
from carryon.state import Key, Store, Unfinished
from carryon.stop import Stop
from tests.service import REPOSITORY

URL = "http://127.0.0.1:8008"
KEY = Key(URL, "scans", "d41d8cd98f00b204e9800998ecf8427e")


def upload(key: Key = KEY, file_id: int = 7) -> Unfinished:
    return Unfinished(key, file_id, 20, "/a/b", Fingerprint(100, 1, 2), {1: "x", 2: "y"})


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    with Store(tmp_path / "new" / "folder") as store:
        assert store.find(KEY) is None
        store.keep(upload())
    with Store(tmp_path / "new" / "folder") as store:
        assert store.find(KEY) == upload()
        assert store.all(URL) == [upload()]
        assert store.all("http://another") == []


def test_the_contracts_shape(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.keep(upload())
        kept = json.loads(store.path.read_text())["servers"][URL]["scans"][KEY.md5]
    assert (kept["fileId"], kept["parts"]) == (7, {"1": "x", "2": "y"})


def test_uploads_are_kept_apart(tmp_path: Path) -> None:
    others = [Key("http://another", KEY.catalog, KEY.md5), Key(URL, "other", KEY.md5), Key(URL, KEY.catalog, "0")]
    with Store(tmp_path) as store:
        for number, key in enumerate([KEY, *others]):
            store.keep(upload(key, number))
        store.forget(KEY)
        assert store.find(KEY) is None
        assert [store.find(key) for key in others] == [upload(key, n + 1) for n, key in enumerate(others)]
        store.forget(KEY)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"servers": 1}', b'{"servers": {"u": {"c": {"m": {}}}}}', b'{"servers": {"u": []}}'],
)
def test_a_broken_file_is_put_aside(tmp_path: Path, content: bytes) -> None:
    with Store(tmp_path) as store:
        store.path.write_bytes(content)
        assert store.find(KEY) is None
        store.keep(upload())
        assert store.find(KEY) == upload()
    assert (tmp_path / "uploads.broken").read_bytes() == content


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="XDG_STATE_HOME"):
        Store(tmp_path / "file" / "folder")


def test_many_threads(tmp_path: Path) -> None:
    keys = [Key(URL, "c", str(number)) for number in range(8)]
    with Store(tmp_path) as store:
        threads = [threading.Thread(target=store.keep, args=(upload(key),)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {each.key for each in store.all(URL)} == set(keys)


OTHER = """
import sys
from pathlib import Path
from carryon.state import *
key = Key({url!r}, "scans", {md5!r})
with Store(Path(sys.argv[1])) as store:
    with store.hold(key, Stop()):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_another_process_is_not_disturbed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", OTHER.format(url=URL, md5=KEY.md5), str(tmp_path)]
    with subprocess.Popen(words, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout
            assert other.stdout.readline() == b"held\n"
            with Store(tmp_path) as store:
                with pytest.raises(InUseError), store.hold(KEY, Stop()):
                    pass
                with store.hold(Key(URL, "another", KEY.md5), Stop()):
                    store.keep(upload())
                other.kill()
                other.wait()
                with store.hold(KEY, Stop()):
                    assert store.find(KEY) == upload(), "what was written meanwhile is there"
        finally:
            other.kill()


def test_another_thread_is_waited_for(tmp_path: Path) -> None:
    order = []
    with Store(tmp_path) as store:

        def second() -> None:
            with store.hold(KEY, Stop()):
                order.append("second")

        with store.hold(KEY, Stop()):
            thread = threading.Thread(target=second)
            thread.start()
            thread.join(0.3)
            order.append("first")
        thread.join()
    assert order == ["first", "second"]


def test_waiting_ends_when_somebody_wants_to_leave(tmp_path: Path) -> None:
    stop = Stop()
    stop.say()
    with Store(tmp_path) as store, store.hold(KEY, Stop()), pytest.raises(Stopped), store.hold(KEY, stop):
        pass
