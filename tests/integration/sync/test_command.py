"""`manage.py sync_case`: what it asks for, what it shows, and how it ends."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from pytest_django.fixtures import Settings
from rich.console import Console

from sync.management import watching
from sync.management.asking import USAGE
from sync.management.display import Bar, Lines, duration, line, printable
from sync.models import Case, Job
from sync.models.job import Desired, JobState
from sync.services import job as jobs
from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.syncs import tree_of, write
from tests.integration.sync.rows import REGION, new_case, new_job
from tests.integration.transfers.rows import use
from tests.servers import environment_of
from tests.service import REPOSITORY, wait_until
from transfers import audit
from transfers.errors import NotSyncingError

END_SECONDS = 120
PATIENT = "P-0001"
WHO = ("--group", "clinic", "--patient", PATIENT, "--name", "jaw")
NEW = ("--lab", "lab", "--type", "T", "--region", REGION, "--user", "ann")


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def case(ann: User) -> Case:
    return new_case(ann, owner_group_id="clinic", pid="P-0001", projectname="jaw", s3keypath="here/jaw")


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Path:
    """A folder that a case may be copied from."""
    root = tmp_path / "sources"
    use(settings, sync_source_roots=[root], sync_save_path=tmp_path / "cases")
    (root / "jaw").mkdir(parents=True)
    return root / "jaw"


def call(*words: object) -> tuple[str, str, int]:
    """Call it here: what it prints on stdout and stderr, and its exit code."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("sync_case", *map(str, words), stdout=out, stderr=err)
    except SystemExit as left:
        return out.getvalue(), err.getvalue(), int(left.code or 0)
    return out.getvalue(), err.getvalue(), 0


def refused(*words: object) -> str:
    """Call it, and give what it complains of; nothing must have been asked for."""
    before = Job.objects.count()
    with pytest.raises(CommandError) as refusal:
        call(*words)
    assert refusal.value.returncode == USAGE
    assert Job.objects.count() == before
    return str(refusal.value)


# What is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "--case: is needed, or --group, --patient, --name."),
        (("--group", "clinic"), "--patient, --name: needed besides: institution, patient and name together"),
        (("--case", uuid.UUID(int=7), *WHO), "--case: names the case already: leave out --group, --patient, --name."),
        (("--case", uuid.UUID(int=7)), "--case: There is no such case."),
        ((*WHO[:-1], "unknown"), "--source, --lab, --type, --region, --user: needed, for the case is new."),
        ((*WHO, "--user", "nobody"), "--user: there is no active user 'nobody'."),
        ((*WHO, "--user", "berta"), "--user: berta may not see this case."),
        ((*WHO, "--region", "eu-west-1"), "The case is known with another --region."),
        ((*WHO, "--key-prefix", "there/jaw"), "The case is known with another --key-prefix."),
        ((*WHO, "--region", "../x"), "--region: No cloud is configured for the region '../x'."),
        ((*WHO, "--key-prefix", "a/../b"), "--key-prefix: "),
        ((*WHO, "--source", "/etc"), "--source: lies below no source root (SYNC_SOURCE_ROOTS)"),
        ((*WHO[:-1], "x" * 256, "--source", "/", *NEW), "--name: Ensure this value has at most 255 characters"),
        ((*WHO[:-1], "a/b", "--source", "/", *NEW), "--name: contains a slash"),
        ((*WHO[:-1], "..", "--source", "/", *NEW), "--name: "),
    ],
    ids=lambda value: None if isinstance(value, tuple) else value[:40],
)
def test_what_cannot_be_asked_is_told_in_the_words_of_the_options(
    words: tuple[object, ...], complaint: str, case: Case, source: Path
) -> None:
    User.objects.create_user("berta")
    assert refused("up", *words).startswith(complaint)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (WHO, "--group, --patient, --name: There is no such case."),
        (("--case", uuid.UUID(int=7)), "--case: There is no such case."),
        ((*WHO, "--source", "/x"), "--source: is for the way up"),
    ],
    ids=["names", "case", "source"],
)
def test_only_what_is_known_comes_down(words: tuple[object, ...], complaint: str, ann: User) -> None:
    assert refused("down", *words).startswith(complaint)
    assert not Case.objects.exists()


@pytest.mark.parametrize("words", [("--case", "7"), ("--name", ""), ("--name", "a\nb"), ("--name", "a\udcff")])
def test_what_is_no_option_is_told(words: tuple[str, str], db: None) -> None:
    with pytest.raises(CommandError) as refusal:
        call("up", *words)
    assert words[0] in str(refusal.value)


def test_a_case_that_is_being_synced_is_told_with_its_job(case: Case) -> None:
    job = new_job(case)
    assert refused("up", *WHO) == f"The case is being synced already. Its job is {job.pk}."


def test_a_new_case_is_made_of_the_options(ann: User, source: Path) -> None:
    out, err, code = call("up", *WHO, *NEW, "--source", source, "--no-wait", "--delete")
    job = Job.objects.get()
    assert (out, err, code) == (f"{job.pk}\n", "", 0)
    assert (job.user, job.up, job.dry_run, job.delete_missing, job.source) == (ann, True, False, True, str(source))
    case = job.case
    assert (case.user, case.owner_group_id, case.pid, case.projectname) == (ann, "clinic", "P-0001", "jaw")
    assert (case.lab_id, case.projecttype, case.region, case.api_url) == ("lab", "T", REGION, "")
    assert case.s3keypath == "userdata/clinic/lab/P-0001/jaw"
    assert case.uuid is not None


def test_a_folder_may_be_named_from_where_one_is(ann: User, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)
    call("up", *WHO, *NEW, "--source", "jaw", "--key-prefix", "/a/b/", "--no-wait")
    job = Job.objects.get()
    assert (job.source, job.case.s3keypath) == (str(source), "a/b")


@pytest.mark.parametrize("named", ["uuid", "names"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_known_case_needs_no_more_than_its_name(way: str, named: str, case: Case) -> None:
    words = ("--case", case.uuid) if named == "uuid" else WHO
    out, _, code = call(way, *words, "--no-wait", "--json", "--dry-run")
    job = Job.objects.get()
    assert (job.case, job.user, job.up, job.dry_run) == (case, case.user, way == "up", True)
    told = json.loads(out)
    assert (told["jobId"], told["caseId"], told["state"], code) == (str(job.pk), str(case.uuid), "queued", 0)


def test_staff_may_ask_for_anybodys_case(case: Case) -> None:
    chief = User.objects.create_user("chief", is_staff=True)
    call("down", *WHO, "--user", "chief", "--no-wait")
    assert Job.objects.get().user == chief
    assert Case.objects.get().user == case.user


def test_what_may_change_of_a_known_case_changes(case: Case, source: Path) -> None:
    call("up", *WHO, "--source", source, "--lab", "another lab", "--no-wait")
    case.refresh_from_db()
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id) == (audit.COMMAND_LINE, str(case.pk))
    assert entry.change_message == "Asked to sync up. On the command line."
    assert (case.lab_id, case.projecttype, case.s3keypath) == ("another lab", "TEST-PROJECT", "here/jaw")
    assert Job.objects.get().source == str(source)


# How a job is followed -------------------------------------------------------------------------------------------


def meanwhile(do: Callable[[], object]) -> threading.Thread:
    """Do it in another thread, once a job was asked for."""

    def run() -> None:
        try:
            wait_until(Job.objects.live().exists, END_SECONDS)
            do()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.django_db(transaction=True)
def test_that_there_is_no_worker_is_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PATIENCE_SECONDS", 0.2)

    def stop() -> None:
        time.sleep(1.5)
        jobs.stop_job(job=Job.objects.get())

    thread = meanwhile(stop)
    out, err, code = call("up", *WHO)
    thread.join()
    assert err == "queued\nNo worker has taken it up yet: is the service running?\n"
    assert (out, code) == ("Stopped: nothing was to be done, in 0 s.\n", 1)


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_stops_the_job(case: Case) -> None:
    before = signal.getsignal(signal.SIGINT)
    thread = meanwhile(press_ctrl_c)
    _, err, code = call("up", *WHO)
    thread.join()
    assert "Stopping; what is done stays done." in err
    assert code == 130
    assert Job.objects.get().state == JobState.STOPPED
    assert LogEntry.objects.first().change_message == "Stopped. On the command line."
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_twice_leaves_at_once(case: Case) -> None:
    job = new_job(case, state="running")
    heard = threading.Event()

    def twice() -> None:
        press_ctrl_c()
        wait_until(Job.objects.filter(desired=Desired.STOP).exists, END_SECONDS)
        heard.set()
        press_ctrl_c()

    began = time.monotonic()
    with watching.heeding_ctrl_c() as wish:
        thread = meanwhile(twice)  # who pressed it sooner would end the tests
        with pytest.raises(KeyboardInterrupt):
            watching.followed(job, Lines(lambda _: None), wish)
    thread.join()
    assert heard.is_set()
    assert time.monotonic() - began < 30
    job.refresh_from_db()
    assert (job.state, job.desired) == (JobState.RUNNING, Desired.STOP)


def test_a_database_that_is_away_is_waited_for(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    job = new_job(case)
    look = jobs.look
    failures = iter([OperationalError("gone"), OperationalError("gone")])

    def flaky(**options: Any) -> Job:
        for failure in failures:
            raise failure
        with suppress(NotSyncingError):
            jobs.stop_job(job=job)
        return look(**options)

    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watching.connection, "close", lambda: None)  # this test's own transaction
    monkeypatch.setattr(watching.jobs, "look", flaky)
    said: list[str] = []
    with watching.heeding_ctrl_c() as wish:
        assert watching.followed(job, Lines(said.append), wish).state == JobState.STOPPED
    assert said == ["queued", *["The database does not answer; trying again."] * 2]


# What is shown ---------------------------------------------------------------------------------------------------


MOVING = {
    "state": "running",
    "phase": "syncing",
    "files_done": 1200,
    "files_total": 3400,
    "bytes_done": 3_000_000_000,
    "bytes_total": 8_000_000_000,
    "bytes_per_second": 50_000_000,
}


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({}, "queued"),
        ({"state": "running"}, "looking up"),
        ({"state": "running", "phase": "copying"}, "copying"),
        (MOVING, "syncing: 1,200 of 3,400 files, 3.0 GB of 8.0 GB, 37 %, 50.0 MB/s, 1 min 40 s left"),
        ({**MOVING, "bytes_per_second": 0}, "syncing: 1,200 of 3,400 files, 3.0 GB of 8.0 GB, 37 %"),
        (
            {"state": "running", "phase": "syncing", "files_done": 1, "files_total": 4},
            "syncing: 1 of 4 files, 0 bytes of 0 bytes, 25 %",
        ),
        ({"state": "completed_with_failures"}, "completed with failures"),
    ],
)
def test_a_line_tells_all_that_is_known(facts: dict[str, Any], shown: str) -> None:
    assert line(Job(**facts)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "25 h 0 min")]
)
def test_durations_are_told_in_words(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_no_name_has_power_over_a_terminal() -> None:
    assert printable("a\x1b[31m\n\u202eb ü") == "a\ufffd[31m\ufffd\ufffdb ü"


def test_lines_do_not_repeat_themselves() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    for _ in range(3):
        lines.show(Job())
    lines.show(Job(**MOVING))
    lines.close()
    assert said == ["queued", line(Job(**MOVING))]


@pytest.mark.parametrize(
    ("width", "seen", "unseen"),
    [
        (110, ["syncing", "37 %", "1,200/3,400 files", "3.0 GB/8.0 GB", "50.0 MB/s", "1 min 40 s left", "━"], []),
        (75, ["syncing", "37 %", "1,200/3,400 files", "50.0 MB/s", "1 min 40 s left", "━"], ["3.0 GB"]),
        (50, ["syncing", "37 %", "1,200/3,400 files", "1 min 40 s left"], ["3.0 GB", "50.0 MB/s", "━"]),
    ],
)
def test_a_bar_shows_what_the_terminal_has_room_for(width: int, seen: list[str], unseen: list[str]) -> None:
    screen = io.StringIO()
    bar = Bar(Console(file=screen, force_terminal=True, width=width, color_system=None, legacy_windows=False))
    bar.show(Job(**MOVING))
    bar.say("[bold]said[/bold] :smile:")
    bar.close()
    drawn = screen.getvalue()
    last = re.split(r"\r|\n", drawn[: drawn.rindex("left")])[-1] + "left"
    assert [text for text in seen if text not in last] == []
    assert [text for text in unseen if text in last] == []
    assert "[bold]said[/bold] :smile:" in drawn


# With the service ------------------------------------------------------------------------------------------------


class Operator:
    """Somebody with a shell on the server."""

    def __init__(self, carryon: Carryon, root: Path) -> None:
        self.carryon = carryon
        self.root = root
        self.environment = environment_of(carryon.data_dir, carryon.variables) | {"LANG": "C.UTF-8", "TERM": "xterm"}

    def words(self, *words: object) -> list[str]:
        return [sys.executable, "manage.py", "sync_case", *map(str, words)]

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Call it, and wait for its end."""
        return subprocess.run(
            self.words(*words),
            env=self.environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=END_SECONDS,
            check=False,
        )

    def new(self, name: str) -> tuple[Path, list[object]]:
        """The source of a case of this name, and the options that make it one."""
        source = self.root / name
        source.mkdir()
        return source, ["--source", source, *NEW, *self.known(name)]

    @staticmethod
    def known(name: str) -> list[object]:
        return ["--group", "clinic", "--patient", PATIENT, "--name", name]

    def local(self, name: str) -> Path:
        return self.carryon.data_dir / "cases" / "clinic" / PATIENT / name

    def cloud(self, name: str) -> Path:
        return self.carryon.data_dir / "cloud" / REGION / "userdata" / "clinic" / "lab" / PATIENT / name


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator of a service whose cloud is a folder."""
    root = tmp_path_factory.mktemp("sources")
    with running_carryon(tmp_path_factory.mktemp("carryon"), SYNC_SOURCE_ROOTS=str(root)) as running:
        running.user("ann")
        yield Operator(running, root)
        assert PATIENT not in running.service.output


def test_a_case_goes_up_and_comes_down(operator: Operator) -> None:
    source, new = operator.new("there-and-back")
    write(source, "scans/upper.stl", b"x" * 3_000_000)
    write(source, "note.txt", "äöü")
    wanted = tree_of(source)
    done = operator.run("up", *new)
    assert done.returncode == 0, done
    assert re.fullmatch(r"Completed: 2 of 2 files, 3\.0 MB, in \d+ s\.\n", done.stdout)
    assert set(re.findall(r"^\w+", done.stderr, re.MULTILINE)) <= {"queued", "looking", "copying", "syncing"}
    assert tree_of(operator.cloud("there-and-back")) == wanted
    write(operator.cloud("there-and-back"), "answer.txt", "from the lab")
    done = operator.run("down", *operator.known("there-and-back"), "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["state"], told["up"], told["filesDone"]) == (0, "completed", False, 1)
    assert (operator.local("there-and-back") / "answer.txt").read_text() == "from the lab"
    done = operator.run("up", *operator.known("there-and-back"))
    assert (done.returncode, done.stdout[:35]) == (0, "Completed: nothing was to be done, ")


def test_a_dry_run_prints_a_table_and_changes_nothing(operator: Operator) -> None:
    source, new = operator.new("dry")
    write(source, "a\x1b[31m.txt", b"x" * 1500)
    assert operator.run("up", *new).returncode == 0
    write(operator.local("dry"), "new.txt", "new")
    (operator.local("dry") / "a\x1b[31m.txt").unlink()
    before = tree_of(operator.cloud("dry"))
    done = operator.run("up", *operator.known("dry"), "--delete", "--dry-run")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "ACTION              SIZE  PATH (WHY)",
            "upload           3 bytes  new.txt (new)",
            "delete            1.5 kB  a\ufffd[31m.txt (gone since the last sync)",
            "2 actions, 1.5 kB. This was a dry run: nothing was changed.",
        ],
    )
    told = json.loads(operator.run("up", *operator.known("dry"), "--dry-run", "--json").stdout)
    assert [(action["action"], action["path"]) for action in told["plan"]] == [("upload", "new.txt")]
    assert tree_of(operator.cloud("dry")) == before
    done = operator.run("down", *operator.known("dry"), "--dry-run")
    assert "nothing would be done" not in done.stdout
    (operator.local("dry") / "new.txt").unlink()


def test_what_could_not_be_brought_is_told(operator: Operator) -> None:
    source, new = operator.new("half")
    write(source, "good.txt", "good")
    (source / "link\x1b[2J").symlink_to("/etc/passwd")
    done = operator.run("up", *new)
    assert done.returncode == 3
    assert done.stdout.startswith("Completed with failures: 1 of 1 files")
    assert "link\ufffd[2J: it is a link\n" in done.stderr
    assert (
        tree_of(operator.cloud("half")) == tree_of(operator.local("half")) == {"good.txt": tree_of(source)["good.txt"]}
    )


def test_a_failed_sync_tells_why(operator: Operator) -> None:
    source, new = operator.new("emptied")
    write(source, "only.txt", "only")
    assert operator.run("up", *new).returncode == 0
    (operator.local("emptied") / "only.txt").unlink()
    done = operator.run("up", *operator.known("emptied"), "--delete")
    assert (done.returncode, done.stdout[:8]) == (1, "Failed: ")
    assert "(empty_side)" in done.stderr
    assert tree_of(operator.cloud("emptied"))


def test_a_terminal_gets_a_bar_and_ctrl_c_stops(operator: Operator) -> None:
    source, new = operator.new("many")
    for number in range(4000):
        write(source, f"{number // 500}/{number}.bin", os.urandom(2000))
    with Screen(operator, "up", *new) as screen:
        screen.wait_for(rb"\d %.* [1-9][\d,]*/4,000 files")
        screen.process.send_signal(signal.SIGINT)
        screen.wait_for(rb"Stopping; what is done stays done\.")
        assert screen.end() == 130
    assert b"Stopped: " in screen.seen
    assert screen.seen.count(b"\x1b[?25h") == screen.seen.count(b"\x1b[?25l") == 1  # the cursor is there again
    done = operator.run("up", *operator.known("many"))
    assert done.returncode == 0, done
    assert tree_of(operator.cloud("many")) == tree_of(source)


class Screen:
    """A call in a terminal, which does not outlive the block."""

    def __init__(self, operator: Operator, *words: object) -> None:
        self.seen = b""
        self._terminal, theirs = pty.openpty()
        self.process = subprocess.Popen(
            operator.words(*words),
            env={**operator.environment, "COLUMNS": "110"},
            cwd=REPOSITORY,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    def wait_for(self, pattern: bytes) -> None:
        """Wait until this is, or was, on the screen."""
        deadline = time.monotonic() + END_SECONDS
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, self.seen[-2000:]
            assert self._read(), self.seen[-2000:]

    def end(self) -> int:
        """Wait for its end; its exit code."""
        while self._read():
            pass
        return self.process.wait(END_SECONDS)

    def _read(self) -> bool:
        """Read on; False once nothing more will come."""
        if not select.select([self._terminal], [], [], END_SECONDS)[0]:
            return False
        with suppress(OSError):  # Linux's word for an end
            self.seen += (more := os.read(self._terminal, 65536))
            return bool(more)
        return False
