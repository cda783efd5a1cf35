"""Cases synced by the whole service, with a folder as the cloud: all three ways, killed, stopped, attacked."""

from __future__ import annotations

import os
import re
import shutil
import socket
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.syncs import LIVE, CaseClient, tree_of, write

MIB = 2**20
CONFLICT = re.compile(r"\.conflict-\d{8}T\d{6}Z(-\d+)?$")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the sources of cases lie in."""
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def carryon(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Iterator[Carryon]:
    """A service of two workers, whose cloud is a folder."""
    variables = {"SYNC_SOURCE_ROOTS": str(sources), "WORKERS": "2"}
    with running_carryon(tmp_path_factory.mktemp("carryon"), **variables) as running:
        yield running


@pytest.fixture
def case(carryon: Carryon, sources: Path, request: pytest.FixtureRequest) -> CaseClient:
    """A case of this test's own, whose source is empty."""
    name = re.sub(r"[^a-zA-Z0-9-]+", "-", request.node.name)[:100]
    source = sources / name
    source.mkdir()
    return CaseClient(carryon, name, carryon.admin.token, source=source)


def fill(root: Path) -> dict[str, str]:
    """A case as scanners leave it: files of all sizes, odd names, empty ones."""
    write(root, "scan/upper.stl", os.urandom(300_000), 1_600_000_000.25)
    write(root, "scan/lower.stl", os.urandom(9 * MIB), 1_500_000_000)
    write(root, "notes/first visit.txt", "äöü", 1_400_000_000)
    write(root, f"notes/{unicodedata.normalize('NFC', 'é')}.txt", "composed")
    write(root, f"notes/{unicodedata.normalize('NFD', 'é')}.txt", "decomposed")
    write(root, "Readme.TXT", "upper case")
    write(root, "readme.txt", "lower case")
    write(root, "a+b %41 &#?.txt", "odd")
    write(root, "empty", b"")
    (root / "later").mkdir()
    return tree_of(root)


def test_source_to_local_to_cloud_and_back(case: CaseClient) -> None:
    assert case.source is not None
    wanted = fill(case.source)
    told = case.sync(up=True)
    assert (tree_of(case.local), tree_of(case.cloud)) == (wanted, wanted)
    files = len(wanted)
    assert (told["filesDone"], told["filesTotal"], told["failures"]) == (files, files, [])
    assert (
        told["bytesDone"] == told["bytesTotal"] == sum(p.stat().st_size for p in case.source.rglob("*") if p.is_file())
    )
    assert case.uuid == told["caseId"]
    for place in (case.local, case.cloud):
        assert (place / "scan/upper.stl").stat().st_mtime_ns == 1_600_000_000_250_000_000

    assert case.plan(up=True) == case.plan(up=False) == []
    again = case.sync(up=True)
    assert (again["filesTotal"], again["bytesTotal"]) == (0, 0)

    shutil.rmtree(case.local)
    case.sync(up=False)
    assert tree_of(case.local) == wanted
    assert (case.local / "scan/lower.stl").stat().st_mtime_ns == 1_500_000_000 * 10**9
    assert case.plan(up=True) == case.plan(up=False) == []


def test_a_dry_run_changes_nothing_and_tells_the_work(case: CaseClient) -> None:
    assert case.source is not None
    wanted = fill(case.source)
    plan = case.plan(up=True)
    assert not case.local.exists()
    assert not case.cloud.exists()
    told = {(each["action"], each["path"]) for each in plan}
    assert {path for action, path in told if action == "copy"} == {p for p in wanted if not p.endswith("/")}
    assert {path for action, path in told if action == "upload"} == {p for p in wanted if not p.endswith("/")}
    assert all(set(each) == {"action", "path", "size", "reason"} for each in plan)
    case.sync(up=True)
    write(case.local, "scan/new.stl", b"new")
    (case.local / "readme.txt").unlink()
    assert [(each["action"], each["path"], each["size"]) for each in case.plan(up=True)] == [
        ("upload", "scan/new.stl", 3)
    ]
    deleting = case.plan(up=True, delete=True)
    assert [(each["action"], each["path"]) for each in deleting] == [
        ("upload", "scan/new.stl"),
        ("delete", "readme.txt"),
    ]
    assert (case.cloud / "readme.txt").exists()


def test_the_socket_tells_what_a_question_does(case: CaseClient) -> None:
    assert case.source is not None
    fill(case.source)
    (case.source / "link").symlink_to("/nowhere")
    with case.carryon.admin.listening() as listener:
        job_id = case.begin(up=True)
        told = case.wait(job_id)
        frame = listener.wait_for(lambda frame: frame.body.get("jobId") == job_id and frame.body["state"] not in LIVE)
        frames = [each for each in listener.frames() if each.body.get("jobId") == job_id]
    assert {each.name for each in frames} == {"raylinksync_stream"}
    assert told["state"] == "completed_with_failures"
    assert frame.body == {**told, "id": job_id, "revision": frame.body["revision"]}
    revisions = [each.body["revision"] for each in frames]
    assert revisions == sorted(revisions)
    assert set(frames[0].body) <= {*frame.body}


def test_conflicts_keep_both(case: CaseClient) -> None:
    assert case.source is not None
    write(case.source, "plan.txt", "first")
    case.sync(up=True)
    write(case.local, "plan.txt", "ours, longer")
    write(case.cloud, "plan.txt", "theirs")
    assert [each["action"] for each in case.plan(up=True)] == ["conflict"]
    case.sync(up=True)
    assert (case.cloud / "plan.txt").read_text() == "ours, longer"
    kept = [path for path in case.cloud.iterdir() if CONFLICT.search(path.name)]
    assert [path.read_text() for path in kept] == ["theirs"]
    case.sync(up=False)
    assert tree_of(case.local) == tree_of(case.cloud)


def test_an_edit_that_keeps_size_and_time_is_seen(case: CaseClient) -> None:
    assert case.source is not None
    write(case.source, "a.dat", b"0" * 1000, 1_500_000_000)
    case.sync(up=True)
    write(case.local, "a.dat", b"1" * 1000, 1_500_000_000)
    case.sync(up=True)
    assert (case.cloud / "a.dat").read_bytes() == b"1" * 1000
    write(case.local, "a.dat", b"2" * 1000, 1_000_000_000)
    case.sync(up=True)
    assert (case.cloud / "a.dat").read_bytes() == b"2" * 1000


def test_deletion_is_asked_for_and_guarded(case: CaseClient) -> None:
    assert case.source is not None
    for name in ("a", "b", "c"):
        write(case.source, f"files/{name}", name)
    case.sync(up=True)
    (case.local / "files/a").unlink()
    case.sync(up=True)
    assert (case.cloud / "files/a").exists(), "nobody asked for deletion"
    write(case.cloud, "files/b", "changed there")
    (case.local / "files/b").unlink()
    write(case.cloud, "files/d", "new there")
    case.sync(up=True, delete=True)
    assert sorted(path.name for path in (case.cloud / "files").iterdir()) == ["b", "c", "d"]
    shutil.rmtree(case.local / "files")
    told = case.sync(up=True, delete=True, state="failed")
    assert told["error"]["code"] == "empty_side"
    assert (case.cloud / "files/c").exists()


def test_what_cannot_be_synced_is_reported_and_nothing_else_suffers(case: CaseClient, tmp_path: Path) -> None:
    assert case.source is not None
    write(tmp_path, "secret", "another patient's")
    write(case.source, "good", "good")
    (case.source / "link").symlink_to(tmp_path / "secret")
    (case.source / "folder-link").symlink_to(tmp_path)
    os.mkfifo(case.source / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(case.source)
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
    (case.source / os.fsdecode(b"not-utf-8-\xff")).write_bytes(b"x")
    told = case.sync(up=True, state="completed_with_failures")
    assert tree_of(case.cloud) == tree_of(case.local) == {"good": tree_of(case.local)["good"]}
    assert len(told["failures"]) == 5, told["failures"]
    assert all(failure["reason"] for failure in told["failures"])


def test_one_job_a_case(case: CaseClient) -> None:
    assert case.source is not None
    write(case.source, "large", os.urandom(64 * MIB))
    job_id = case.begin(up=True)
    answer = case.ask(up=False)
    if answer.status_code == 409:  # unless it is done already
        assert answer.json() == {
            "status": "fail",
            "errmsg": {"code": "ALREADY SYNCING", "jobId": job_id, "detail": answer.json()["errmsg"]["detail"]},
        }
    case.wait(job_id)


@pytest.mark.parametrize(
    ("victim", "mib"),
    [
        ("worker-1", 100),
        ("every worker", 300),  # a file of this size is brought by several workers at once
        ("broker", 100),
        pytest.param("worker-2", 300, marks=pytest.mark.long),
        pytest.param("web", 100, marks=pytest.mark.long),
    ],
)
def test_kill_9_loses_and_doubles_nothing(case: CaseClient, victim: str, mib: int) -> None:
    assert case.source is not None
    for number in range(300):
        write(case.source, f"small/{number:04}", os.urandom(5000))
    write(case.source, "large", os.urandom(mib * MIB))
    wanted = tree_of(case.source)
    job_id = case.begin(up=True)
    case.wait_until_bytes(job_id, 20 * MIB)
    names = list(case.carryon.workers().values()) if victim == "every worker" else [victim]
    case.carryon.kill(*names)
    case.carryon.wait_until_back()
    told = case.wait(job_id)
    assert told["state"] == "completed", told
    assert tree_of(case.local) == tree_of(case.cloud) == wanted
    assert case.plan(up=True) == case.plan(up=False) == []
    assert not [path for root in (case.local, case.cloud) for path in root.rglob("*") if CONFLICT.search(path.name)]


def test_stop_and_go_on(case: CaseClient) -> None:
    assert case.source is not None
    for number in range(8):
        write(case.source, f"large-{number}", os.urandom(20 * MIB))
    job_id = case.begin(up=True)
    case.wait_until_bytes(job_id, 1)
    answer = case.stop(job_id)
    told = case.wait(job_id, 10)
    if answer.status_code == 200:
        assert told["state"] in ("stopped", "completed"), told
    case.sync(up=True)
    assert tree_of(case.cloud) == tree_of(case.source)
