"""The service's own word on its health, its numbers and its lines, while parts of it die, hang and come back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from config.health.checks import LIMIT_SECONDS
from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.client import Client
from tests.e2e.syncs import GROUP, REGION, CaseClient, write
from tests.e2e.uploads import Uploads, md5s
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.s3 import BUCKET, S3Server, running_rclone
from tests.s3.server import ACCESS_KEY, SECRET_KEY
from tests.servers import REPOSITORY, environment_of, web_server
from tests.service import wait_until

NOTICED_SECONDS = 8
"""Within this a death is told: a second of cache, five of a process that says nothing, and a busy machine."""
BACK_SECONDS = 60
CANARY = "canaryX7"
MOVED = "carryon_bytes_moved_total"
Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Values by name and labels."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the sources of cases lie in."""
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    """Where the region `s3` is."""
    with running_rclone() as running:
        yield running


@pytest.fixture(scope="module")
def carryon(tmp_path_factory: pytest.TempPathFactory, sources: Path, store: S3Server) -> Iterator[Carryon]:
    """A service of one worker that writes all it can say, as JSON."""
    folder = tmp_path_factory.mktemp("health")
    # As a role has them: the token is none that the environment holds.
    keys = sources / "credentials"
    keys.write_text(
        f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\naws_session_token={CANARY}\n"
    )
    regions = {
        REGION: {"folder": str(folder / "cloud" / REGION)},
        "s3": {"bucket": BUCKET, "endpoint_url": store.url},
        "no-bucket": {"bucket": "nobody-made-it", "endpoint_url": store.url},
    }
    variables = {
        "AWS_SHARED_CREDENTIALS_FILE": str(keys),
        "AWS_DEFAULT_REGION": "us-east-1",
        "SYNC_REGIONS": json.dumps(regions),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "DEBUG",
        "SYNC_SOURCE_ROOTS": str(sources),
        "DOWNLOAD_RETRY_SECONDS": "0.05",
        "DOWNLOAD_MAX_ATTEMPTS": "3",
        "DOWNLOAD_STALL_SECONDS": "1",
        "METRICS_TOKEN": f"{CANARY}-metrics-token",
    }
    with running_carryon(folder, **variables) as running:
        yield running


@pytest.fixture(autouse=True)
def well(carryon: Carryon) -> Iterator[None]:
    """Each test begins and ends with everything there."""
    wait_until(lambda: down(carryon) == (200, []), BACK_SECONDS)
    yield
    wait_until(lambda: down(carryon) == (200, []), BACK_SECONDS)


def readiness(carryon: Carryon) -> requests.Response:
    return requests.get(f"{carryon.service.url}/readyz", timeout=LIMIT_SECONDS + 5)


def down(carryon: Carryon) -> tuple[int, list[str]]:
    answer = readiness(carryon)
    return answer.status_code, answer.json()["down"]


def wait_until_down(carryon: Carryon, *names: str) -> None:
    wait_until(lambda: (found := down(carryon))[0] == 503 and set(names) <= set(found[1]), NOTICED_SECONDS)


def numbers(carryon: Carryon) -> Numbers:
    headers = {"Authorization": f"Bearer {CANARY}-metrics-token"}
    answer = requests.get(f"{carryon.service.url}/metrics", headers=headers, timeout=30)
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def number(carryon: Carryon, name: str, **labels: str) -> float:
    return numbers(carryon).get((f"carryon_{name}", tuple(sorted(labels.items()))), 0)


def requests_to(view: str, found: Numbers) -> float:
    return sum(
        value
        for (name, labels), value in found.items()
        if name == "carryon_requests_total" and ("view", view) in labels
    )


def lines(carryon: Carryon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in carryon.service.output.splitlines() if line.startswith('{"')]


@contextmanager
def broker_client(carryon: Carryon) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(carryon.broker_socket)) as client:
        yield client


# Whether it is there -------------------------------------------------------------------------------------------------


def test_what_is_told_and_at_what_price(carryon: Carryon) -> None:
    answer = readiness(carryon)
    told = answer.json()

    assert (answer.status_code, told["status"], told["down"]) == (200, "ok", [])
    assert {check["name"] for check in told["checks"]} == {
        *("database", "broker", "channel_layer", "workers", "workers_cpu", "beat"),
        *("storage:data", "storage:downloads", "storage:files", "storage:cases", f"storage:region-{REGION}"),
    }
    assert all(check["state"] == "ok" and check["seconds"] < LIMIT_SECONDS for check in told["checks"])
    assert answer.headers["Cache-Control"] == "no-store"
    assert str(carryon.data_dir) not in answer.text
    assert requests.head(f"{carryon.service.url}/readyz/", timeout=9).content == b""
    assert requests.post(f"{carryon.service.url}/readyz", timeout=9).status_code == 405


def test_a_killed_worker_is_missed_at_once_and_is_back_with_the_supervisors_next(carryon: Carryon) -> None:
    carryon.kill("worker-1")

    wait_until_down(carryon, "workers")


def test_a_killed_worker_for_zips_is_missed(carryon: Carryon) -> None:
    carryon.kill("worker-cpu")

    wait_until_down(carryon, "workers_cpu")
    assert "workers" not in down(carryon)[1]


def test_a_killed_beat_is_missed(carryon: Carryon) -> None:
    carryon.kill("beat")

    wait_until_down(carryon, "beat")


def test_a_worker_that_hangs_is_missed(carryon: Carryon) -> None:
    pid = carryon.pid("worker-1")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until_down(carryon, "workers")
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_the_broker(carryon: Carryon) -> None:
    with carryon.without_broker():
        wait_until_down(carryon, "broker", "channel_layer", "workers", "beat")
        checks = {check["name"]: check for check in readiness(carryon).json()["checks"]}
        assert checks["workers"]["state"] == "unknown"
        assert checks["database"]["state"] == "ok"
        assert requests.get(f"{carryon.service.url}/livez", timeout=9).status_code == 200
        assert number(carryon, "up", check="broker") == 0
        assert number(carryon, "up", check="database") == 1
    # What was counted meanwhile has waited in the process.
    wait_until(lambda: number(carryon, "requests_total", view="readyz", method="GET", status="503") > 0, 15)


def test_a_broker_that_hangs_holds_nobody_up(carryon: Carryon) -> None:
    pid = carryon.pid("broker")
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            began = time.monotonic()
            status, names = down(carryon)
            assert time.monotonic() - began < LIMIT_SECONDS + 2
            time.sleep(1.1)
        assert status == 503
        assert {"broker", "channel_layer"} <= set(names)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_broker_that_is_full(carryon: Carryon) -> None:
    with broker_client(carryon) as client:
        client.config_set("maxmemory", "1")
        try:
            wait_until_down(carryon, "broker")
        finally:
            client.config_set("maxmemory", "0")


def test_a_channel_layer_that_carries_nothing(carryon: Carryon) -> None:
    with broker_client(carryon) as client:
        client.execute_command("ACL", "SETUSER", "default", "-publish")
        try:
            wait_until_down(carryon, "channel_layer")
            assert "broker" not in down(carryon)[1]
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+publish")


@pytest.mark.parametrize("name", ["downloads", "files", "cases"])
def test_a_folder_that_cannot_be_written(carryon: Carryon, name: str) -> None:
    folder = carryon.data_dir / name
    aside = folder.with_name(f"{name}.aside")
    if there := folder.exists():
        folder.rename(aside)
    folder.write_text("no folder")
    try:
        wait_until_down(carryon, f"storage:{name}")
        assert down(carryon)[1] == [f"storage:{name}"]
    finally:
        folder.unlink()
        if there:
            aside.rename(folder)


def status(carryon: Carryon, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "status", *options],
        cwd=REPOSITORY,
        env=environment_of(carryon.data_dir, carryon.variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_status_in_a_terminal(carryon: Carryon) -> None:
    well = status(carryon)
    assert well.returncode == 0, well
    assert "Everything is there." in well.stdout
    assert re.search(r"^workers +ok .* 1$", well.stdout, re.MULTILINE)
    assert json.loads(status(carryon, "--json").stdout)["status"] == "ok"

    with carryon.without_broker():
        ill = status(carryon, "--json")
    assert ill.returncode == 1
    assert {"broker", "workers", "web"} <= set(json.loads(ill.stdout)["down"])


def test_the_status_is_told_again_and_again_until_ctrl_c(carryon: Carryon) -> None:
    command = [sys.executable, "manage.py", "status", "--json", "--watch"]
    environment = environment_of(carryon.data_dir, carryon.variables)
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        told = [json.loads(watching.stdout.readline())["status"] for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 0
    assert told == ["ok", "ok"]


# Its numbers ---------------------------------------------------------------------------------------------------------


def test_the_numbers_need_their_token(carryon: Carryon) -> None:
    refused = requests.get(f"{carryon.service.url}/metrics", timeout=9)

    assert refused.status_code == 401
    assert "carryon_" not in refused.text


def test_what_workers_and_web_did_is_added_up_and_outlives_them(carryon: Carryon, origin: Origin) -> None:
    before = numbers(carryon)
    url = origin.add("/counted.bin", GeneratedFile(300_000, seed=1), Behaviour(cut_after=100_000))
    row = carryon.admin.begin(url, "counted")
    carryon.admin.wait_for_end(row)
    fetched = (MOVED, (("kind", "download"),))
    wait_until(lambda: numbers(carryon).get(fetched, 0) >= before.get(fetched, 0) + 100_000, 10)
    retried = sum(value for (name, _), value in numbers(carryon).items() if name == "carryon_retries_total")
    assert retried > 0
    counted = numbers(carryon)
    assert requests_to("download-list", counted) == requests_to("download-list", before) + 1
    assert sum(counted[key] for key in counted if key[0] == "carryon_transfers") >= 1

    carryon.kill("worker-1", "web")
    carryon.wait_until_back()
    wait_until(lambda: down(carryon) == (200, []), BACK_SECONDS)

    assert numbers(carryon)[fetched] >= counted[fetched]
    assert requests_to("download-list", numbers(carryon)) == requests_to("download-list", counted)


def test_bytes_are_counted_once_whichever_way_they_go(carryon: Carryon, origin: Origin, sources: Path) -> None:
    size = 3_000_000
    before = moved(carryon)

    uploads = Uploads(carryon.service.url, carryon.admin.token)
    content = os.urandom(size)
    assert uploads.content(uploads.upload(content, "counted.bin")) == content
    row = carryon.admin.begin(origin.add("/whole.bin", GeneratedFile(size, seed=4)), "whole")
    assert carryon.admin.wait_for_end(row)["state"] == "completed"
    write(sources / "counted", "one.bin", content)
    case = CaseClient(carryon, "counted", carryon.admin.token, source=sources / "counted")
    case.sync(up=True)

    wanted = {"upload": size, "sent": size, "download": size, "sync": 2 * size}  # to the local folder, to the cloud
    wait_until(lambda: {kind: moved(carryon)[kind] - before[kind] for kind in wanted} == wanted, 20)


def moved(carryon: Carryon) -> Counter[str]:
    """Bytes by kind."""
    found = numbers(carryon)
    return Counter({dict(labels)["kind"]: int(found[name, labels]) for name, labels in found if name == MOVED})


def test_sockets_and_processes_are_counted(carryon: Carryon) -> None:
    with carryon.admin.listening(), carryon.admin.listening():
        wait_until(lambda: number(carryon, "websocket_clients") == 2, 10)
        with carryon.another_worker():
            wait_until(lambda: number(carryon, "processes", kind="worker") == 2, 10)
    wait_until(lambda: number(carryon, "websocket_clients") == 0, 10)
    wait_until(lambda: number(carryon, "processes", kind="worker") == 1, 10)
    assert number(carryon, "processes", kind="web") == 1


def test_two_web_processes_are_one_service(carryon: Carryon, origin: Origin) -> None:
    with web_server(carryon.data_dir, **carryon.variables) as address:
        other = Client(address, carryon.admin.token)
        wait_until(lambda: number(carryon, "processes", kind="web") == 2, 10)
        with carryon.admin.listening(), other.listening(fid="both") as listener:
            wait_until(lambda: number(carryon, "websocket_clients") == 2, 10)
            carryon.admin.begin(origin.add("/both.bin", GeneratedFile(1000)), "both")
            assert listener.wait_for_end("both").status == "STREAM_COMPLETED"

        parts = {1: os.urandom(6 * 2**20), 2: b"the end"}
        one, two = (Uploads(url, carryon.admin.token) for url in (carryon.service.url, address))
        upload = one.begin()
        one.send(upload, {1: parts[1]})
        two.send(upload, {2: parts[2]})
        assert one.content(two.finished(upload, md5s(parts))) == b"".join(parts.values())
    wait_until(lambda: number(carryon, "processes", kind="web") == 1, 10)


# Its lines -----------------------------------------------------------------------------------------------------------


def test_every_line_is_json_and_names_its_program(carryon: Carryon) -> None:
    ready = carryon.service.output.index("Carryon is ready")
    told = carryon.service.output[:ready].splitlines()

    assert {json.loads(line)["program"] for line in told if line} >= {"broker", "web", "worker-1"}


def test_one_id_leads_from_the_request_to_the_workers_lines(carryon: Carryon, origin: Origin) -> None:
    url = origin.add("/gone.bin", GeneratedFile(10), Behaviour(status=404))
    wanted = "e2e.request-1"
    headers = {"X-Request-ID": wanted, "Authorization": f"Token {carryon.admin.token}"}
    payload = carryon.admin.payload(url, "gone")
    answer = requests.post(f"{carryon.service.url}/api/file/download", json=payload, headers=headers, timeout=30)
    assert answer.headers["X-Request-ID"] == wanted

    def told() -> list[dict[str, Any]]:
        return [line for line in lines(carryon) if line.get("event") == "attempt failed"]

    wait_until(lambda: any(line.get("request_id") == wanted for line in told()), 20)
    [line] = [line for line in told() if line.get("request_id") == wanted]
    assert line["program"] == "worker-1"
    assert line["transfer"] == line["download"]


def test_errors_carry_the_id(carryon: Carryon) -> None:
    url = f"{carryon.service.url}/api/file/download"

    answer = requests.get(url, headers={"X-Request-ID": "mine-1"}, timeout=9)
    other = requests.get(url, headers={"X-Request-ID": "not sound"}, timeout=9)

    assert (answer.status_code, answer.headers["X-Request-ID"]) == (401, "mine-1")
    assert re.fullmatch("[0-9a-f]{32}", other.headers["X-Request-ID"])


def test_nothing_secret_is_written_whatever_fails(carryon: Carryon, origin: Origin, sources: Path) -> None:
    """What each subsystem is given here holds the canary: where a patient's name, a key or a password would be."""
    base = carryon.service.url
    auth = {"Authorization": f"Token {carryon.admin.token}"}
    fails_to_fetch(carryon, origin)
    fails_to_sync(carryon, sources)
    syncs_with_s3(carryon, sources)
    fails_to_upload(carryon)
    for path in (f"/api/cases/{CANARY}", f"/{CANARY}?pid={CANARY}", f"/files/?token={CANARY}", f"/admin/{CANARY}/"):
        requests.get(base + path, headers=auth, timeout=30)
    requests.get(f"{base}/files", headers={"Authorization": f"Token {CANARY}", "Cookie": f"x={CANARY}"}, timeout=30)
    requests.post(f"{base}/login", data={"username": CANARY, "password": CANARY}, timeout=30)
    requests.post(f"{base}/api/v1/tasks/upload/pbulic/", data={"source_name": CANARY}, headers=auth, timeout=30)
    requests.request(CANARY, base, timeout=30)
    fails_to_listen(carryon)
    with carryon.without_broker():
        requests.post(f"{base}/api/cases", json={"pid": CANARY, "projectname": CANARY}, headers=auth, timeout=30)
        readiness(carryon)

    headers = {"Authorization": f"Bearer {CANARY}-metrics-token"}
    metrics = requests.get(f"{base}/metrics", headers=headers, timeout=30).text
    written = carryon.service.output
    assert "attempt failed" in written
    assert "a sync failed" in written or "a file failed" in written
    assert "request failed" in written
    assert [line for line in written.splitlines() if CANARY in line] == []
    assert CANARY not in metrics
    assert GROUP not in metrics
    assert carryon.admin.token not in written.partition("Ctrl-C stops everything.")[2]


def fails_to_listen(carryon: Carryon) -> None:
    events = carryon.service.url.replace("http", "ws") + "/ws"
    for path in (f"/events/?token={CANARY}&pid={CANARY}", f"/{CANARY}/?token={CANARY}"):
        with pytest.raises(InvalidStatus) as refused, connect(events + path, proxy=None):
            pass
        assert refused.value.response.headers["X-Request-ID"]


def fails_to_fetch(carryon: Carryon, origin: Origin) -> None:
    path = f"/{CANARY}.bin"
    url = origin.add(path, GeneratedFile(50_000), Behaviour(status=403))
    signed = f"{url}?X-Amz-Signature={CANARY}&X-Amz-Credential={CANARY}"
    known = signed.replace("http://", f"http://{CANARY}:{CANARY}@")
    for number_, each in enumerate((known, "http://127.0.0.1:1/" + CANARY, f"http://{CANARY}.invalid/?sig={CANARY}")):
        row = carryon.admin.begin(each, f"{CANARY}-{number_}", folder=CANARY)
        carryon.admin.wait_for_end(row)


def fails_to_sync(carryon: Carryon, sources: Path) -> None:
    source = sources / f"{CANARY}-source"
    write(source, f"{CANARY}.dcm", b"x" * 1000)
    case = CaseClient(carryon, f"{CANARY}-project", carryon.admin.token, patient=f"{CANARY}-pid", source=source)
    place = case.local.parent
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("no folder")  # where the patient's folder would be
    try:
        assert case.ask(up=True, apiUrl=f"http://{CANARY}:{CANARY}@127.0.0.1:1/api?token={CANARY}").status_code == 400
        answer = case.ask(up=True)
        if job := answer.json().get("data", {}).get("jobId"):
            assert case.wait(job)["state"] in ("failed", "completed_with_failures")
    finally:
        place.unlink()


def syncs_with_s3(carryon: Carryon, sources: Path) -> None:
    """Its client's library would tell keys, addresses, headers and what it signs."""
    source = sources / f"{CANARY}-s3"
    write(source, f"{CANARY}.dcm", b"x" * 1000)
    ends = {}
    for region in ("s3", "no-bucket"):
        case = CaseClient(
            carryon, f"{CANARY}-{region}", carryon.admin.token, f"{CANARY}-pid", region=region, source=source
        )
        ends[region] = case.wait(case.ask(up=True).json()["data"]["jobId"])["state"]
    assert ends == {"s3": "completed", "no-bucket": "failed"}


def fails_to_upload(carryon: Carryon) -> None:
    url, files = f"{carryon.service.url}/ehealth-base/multipart/upload", carryon.data_dir / "files"
    auth = {"Authorization": f"Token {carryon.admin.token}"}
    aside = files.with_name("files.aside")
    if there := files.exists():
        files.rename(aside)
    files.write_text("no folder")
    try:
        fields = {"option": "initiate", "fileName": f"{CANARY}.bin", "catalog": CANARY, "notes": CANARY}
        form = [(name, (None, value)) for name, value in fields.items()]
        refused = requests.post(url, files=form, headers=auth, timeout=30)
        assert refused.status_code == 503, refused.text
    finally:
        files.unlink()
        if there:
            aside.rename(files)
