"""A disk that is full: told clearly, and nothing that was fetched is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.carryon import Carryon, running_carryon, sha256
from tests.e2e.client import Client, Listener
from tests.origin import Behaviour, Framing, GeneratedFile, Origin, Ranges
from tests.service import wait_until

MIB = 2**20
DISK_BYTES = 24 * MIB


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, with room for DISK_BYTES; the test is skipped where that cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("this machine has no mount")
    if mounted.returncode:
        pytest.skip(f"a small disk needs root: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(carryon: Carryon) -> Iterator[Path]:
    with small_disk(carryon.downloads / "disk") as folder:
        yield folder


def check_told(client: Client, listener: Listener, url: str, fid: str, folder: str = "") -> None:
    """The start is refused as the contract has it, and the event says the same."""
    answer = client.start(url, fid, folder=folder)
    frame = listener.wait_for_end(fid)
    assert frame.status == "STREAM_FAIL"
    assert frame.data["code"] == "out_of_space"
    assert "no space is left" in frame.data["error"]
    assert answer.status == 507
    assert answer.body["errors"]["data"] == frame.data
    assert answer.body["errmsg"] == "STREAM_FAIL"


def test_a_file_that_does_not_fit(carryon: Carryon, everything: Listener, disk: Path, origin: Origin) -> None:
    file = GeneratedFile(20 * MIB, seed=1)
    url = origin.add("/fits-later.bin", file)
    filler = disk / "filler"
    filler.write_bytes(bytes(10 * MIB))
    check_told(carryon.admin, everything, url, "fits later", "disk")
    assert list(disk.iterdir()) == [filler]
    filler.unlink()
    answer = carryon.admin.start(url, "fits later", folder="disk")
    assert carryon.admin.wait_for_end(answer.id)["state"] == "completed"
    assert sha256(disk / "fits-later.bin") == file.sha256()
    assert list(disk.iterdir()) == [disk / "fits-later.bin"]


def test_what_was_fetched_is_kept_when_the_disk_fills_up(
    carryon: Carryon, everything: Listener, disk: Path, origin: Origin
) -> None:
    file = GeneratedFile(16 * MIB, seed=2)
    url = origin.add("/kept.bin", file)
    gate = origin.gate("/kept.bin", at=5 * MIB)
    download = carryon.admin.start(url, "kept", folder="disk").id
    carryon.admin.wait_for(download, lambda detail: detail["downloaded"] == 5 * MIB)
    fill(disk / "filler")
    gate.open()
    frame = everything.wait_for_end("kept")
    assert (frame.status, frame.data["code"]) == ("STREAM_FAIL", "out_of_space")
    kept = carryon.admin.detail(download)["downloaded"]
    assert kept >= 5 * MIB
    assert (disk / "kept.bin.part").exists()
    check_told(carryon.admin, everything, url, "kept", "disk")  # for as long as there is no space
    (disk / "filler").unlink()
    origin.forget()
    answer = carryon.admin.start(url, "kept", folder="disk")
    assert answer.status == 200
    assert carryon.admin.wait_for_end(answer.id)["state"] == "completed"
    assert sha256(disk / "kept.bin") == file.sha256()
    assert origin.requests_for("/kept.bin")[-1].headers["range"] == f"bytes={kept}-{file.size - 1}"
    assert list(disk.iterdir()) == [disk / "kept.bin"]


def test_a_file_of_unknown_size_that_fills_the_disk(
    carryon: Carryon, everything: Listener, disk: Path, origin: Origin
) -> None:
    file = GeneratedFile(20 * MIB, seed=3)
    url = origin.add("/unknown.bin", file, Behaviour(framing=Framing.CHUNKED, ranges=Ranges.NONE))
    filler = disk / "filler"
    filler.write_bytes(bytes(10 * MIB))
    carryon.admin.start(url, "unknown", folder="disk")
    frame = everything.wait_for_end("unknown")
    assert (frame.status, frame.data["code"]) == ("STREAM_FAIL", "out_of_space")
    assert {path.name for path in disk.iterdir()} >= {"filler", "unknown.bin.part"}
    filler.unlink()
    answer = carryon.admin.start(url, "unknown", folder="disk")
    assert carryon.admin.wait_for_end(answer.id)["state"] == "completed"
    assert sha256(disk / "unknown.bin") == file.sha256()
    assert list(disk.iterdir()) == [disk / "unknown.bin"]


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    try:
        with path.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        pass


@pytest.mark.long
def test_a_disk_that_the_database_lies_on_too(tmp_path: Path, origin: Origin) -> None:
    """Where there is no room even for the failure to be written down, the download goes on once there is some."""
    endless = GeneratedFile(10 * DISK_BYTES, seed=4)
    url = origin.add("/everything.bin", endless, Behaviour(framing=Framing.CHUNKED, ranges=Ranges.NONE))
    with small_disk(tmp_path / "data") as folder, running_carryon(folder) as small:
        filler = folder / "filler"
        filler.write_bytes(bytes(8 * MIB))
        download = small.admin.begin(url, "everything")
        origin.wait_for_requests("/everything.bin", 1)
        wait_until(lambda: origin.connections == 0, 60)  # it has given up
        fill(folder / "rest")
        file = GeneratedFile(2 * MIB, seed=5)
        origin.replace("/everything.bin", file)
        (folder / "rest").unlink()
        filler.unlink()
        detail = small.admin.wait_for_end(download, 60)
        print(f"{detail['state']}: {detail['error']}")
        if detail["state"] == "failed":
            assert detail["errorCode"] == "out_of_space"
            assert small.admin.start(url, "everything").status == 200
        assert small.admin.wait_for_end(download)["state"] == "completed"
        assert sha256(folder / "downloads" / "everything.bin") == file.sha256()
