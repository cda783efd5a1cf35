"""Sending files from the page at /upload/, in a real browser, to the real service."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, FileChooser, expect

from tests.browser.chromium import Complaints
from tests.browser.conftest import MAX_BYTES
from tests.browser.upload_page import API, END_MS, UploadPage, ascends, wait
from tests.e2e.carryon import BACK_SECONDS, Carryon

MiB = 2**20
SLOW = 15 * MiB
"""Bytes a second at which three parts take long enough to be watched."""

MakeFile = Callable[..., Path]


def assert_same(page: UploadPage, name: str, file: Path) -> None:
    """The service has the very bytes of the file."""
    assert hashlib.sha256(page.content(name)).digest() == hashlib.sha256(file.read_bytes()).digest()


def test_a_small_file_is_sent_and_its_row_leads_to_it(upload_page: UploadPage, make_file: MakeFile) -> None:
    file = make_file("notes.txt", 1200)
    upload_page.page.get_by_label("Folder").fill("letters")
    upload_page.choose(file)
    upload_page.expect_state("notes.txt", "done")
    assert_same(upload_page, "notes.txt", file)
    assert upload_page.options() == ["initiate", "complete"]
    assert upload_page.forms()[0]["catalog"] == "letters"
    assert upload_page.remembered() == {}


def test_an_empty_file_is_sent(upload_page: UploadPage, make_file: MakeFile) -> None:
    upload_page.choose(make_file("nothing.txt", 0))
    upload_page.expect_state("nothing.txt", "done")
    assert upload_page.content("nothing.txt") == b""


def test_a_large_file_is_sent_in_parts(upload_page: UploadPage, make_file: MakeFile) -> None:
    file = make_file("film.mov", 50 * MiB + 1)
    upload_page.choose(file)
    upload_page.expect_state("film.mov", "done")
    assert upload_page.sent_parts() == [1, 2, 3]
    assert_same(upload_page, "film.mov", file)


def test_the_bar_tells_how_far_it_is(upload_page: UploadPage, make_file: MakeFile) -> None:
    upload_page.network.set(bytes_per_second=SLOW)
    upload_page.choose(make_file("film.mov", 50 * MiB))
    upload_page.expect_state("film.mov", "done")
    seen = upload_page.seen()
    states = list(dict.fromkeys(look["state"] for look in seen))
    assert [state for state in states if state != "waiting"] == ["queued", "hashing", "uploading", "completing", "done"]
    going = [look for look in seen if look["state"] == "uploading"]
    assert ascends([look["share"] for look in going])
    assert len({look["share"] for look in going}) >= 5
    assert any("MiB/s" in look["pace"] and "left" in look["pace"] for look in going)
    assert any(0 < int(look["title"].split(" %")[0]) < 100 for look in going if "%" in look["title"])
    assert upload_page.page.title() == "Send files · Carryon"


def test_the_bar_is_told_to_those_who_do_not_see_it(upload_page: UploadPage, make_file: MakeFile) -> None:
    upload_page.send_one_part(make_file("film.mov", 50 * MiB))
    bar = upload_page.page.get_by_role("progressbar", name="film.mov")
    expect(bar).to_have_attribute("aria-valuetext", "40 %")
    upload_page.release()
    expect(upload_page.page.get_by_role("status")).to_have_text("film.mov is sent.", timeout=END_MS)


def test_after_a_reload_only_what_is_missing_is_sent(upload_page: UploadPage, make_file: MakeFile) -> None:
    file = make_file("film.mov", 50 * MiB)
    upload_page.send_one_part(file)
    upload_page.reload()
    assert list(upload_page.upload(upload_page.file_id())["parts"]) == ["1"]
    upload_page.expect_text("film.mov", "20.0 MiB of 50.0 MiB are there. Choose the file again to go on.")
    upload_page.choose(file)
    upload_page.expect_state("film.mov", "done")
    assert upload_page.sent_parts() == [2, 3]
    assert "fileId" in upload_page.forms()[0]
    assert "catalog" not in upload_page.forms()[0]
    assert_same(upload_page, "film.mov", file)
    expect(upload_page.page.locator(".row")).to_have_count(1)


def test_what_is_left_goes_on_from_its_own_button_under_another_name(
    upload_page: UploadPage, make_file: MakeFile
) -> None:
    file = make_file("film.mov", 50 * MiB)
    upload_page.send_one_part(file)
    upload_page.reload()
    upload_page.expect_state("film.mov", "left")
    upload_page.choose_again("film.mov", file.rename(file.with_name("renamed.mov")))
    upload_page.expect_state("renamed.mov", "done")
    assert upload_page.sent_parts() == [2, 3]
    expect(upload_page.page.locator(".row")).to_have_count(1)


def test_a_pause_lets_go_and_resuming_sends_what_is_missing(upload_page: UploadPage, make_file: MakeFile) -> None:
    file = make_file("film.mov", 50 * MiB)
    upload_page.send_one_part(file)
    upload_page.press("film.mov", "Pause")
    upload_page.expect_text("film.mov", "20.0 MiB of 50.0 MiB · 40 % paused")
    upload_page.release()
    upload_page.page.wait_for_timeout(1000)
    assert upload_page.sent_parts() == [1]
    assert upload_page.page.title() == "Send files · Carryon"
    upload_page.press("film.mov", "Resume")
    upload_page.expect_state("film.mov", "done")
    assert upload_page.sent_parts() == [1, 2, 3]
    assert_same(upload_page, "film.mov", file)


def test_a_pause_stops_what_is_on_its_way(upload_page: UploadPage, make_file: MakeFile) -> None:
    file = make_file("film.mov", 50 * MiB)
    upload_page.network.set(bytes_per_second=MiB)
    upload_page.choose(file)
    wait(upload_page.page, lambda: upload_page.sent_parts() == [1, 2])
    upload_page.press("film.mov", "Pause")
    upload_page.expect_text("film.mov", "0 B of 50.0 MiB · 0 % paused")
    upload_page.network.set()
    upload_page.press("film.mov", "Resume")
    upload_page.expect_state("film.mov", "done")
    assert upload_page.sent_parts() == [1, 1, 2, 2, 3]
    assert_same(upload_page, "film.mov", file)


def test_a_service_that_is_killed_loses_nothing_that_it_has_acknowledged(
    upload_page: UploadPage, make_file: MakeFile, carryon: Carryon, complaints: Complaints
) -> None:
    complaints.expect("net::ERR_|50[234]")
    file = make_file("film.mov", 90 * MiB)
    upload_page.send_one_part(file)
    upload_page.network.set(bytes_per_second=SLOW)
    upload_page.release()
    pid = carryon.pid("web")
    carryon.kill("web")
    wait(upload_page.page, lambda: carryon.service.pids().get("web", pid) != pid, BACK_SECONDS)
    upload_page.network.set()
    upload_page.expect_state("film.mov", "done")
    assert upload_page.options() == ["initiate", "complete"]
    assert upload_page.sent_parts().count(1) == 1
    assert_same(upload_page, "film.mov", file)


def test_a_lost_connection_is_waited_for(upload_page: UploadPage, make_file: MakeFile, complaints: Complaints) -> None:
    complaints.expect("net::ERR_INTERNET_DISCONNECTED")
    file = make_file("film.mov", 50 * MiB)
    upload_page.send_one_part(file)
    upload_page.network.set(offline=True)
    upload_page.release()
    upload_page.expect_text("film.mov", "The service cannot be reached. Trying again.")
    upload_page.page.wait_for_timeout(3000)
    upload_page.expect_state("film.mov", "uploading")
    upload_page.network.set()
    upload_page.expect_state("film.mov", "done")
    assert upload_page.options() == ["initiate", "complete"]
    assert upload_page.sent_parts().count(1) == 1
    assert_same(upload_page, "film.mov", file)


def test_another_file_under_the_same_name_is_sent_anew(upload_page: UploadPage, make_file: MakeFile) -> None:
    file = make_file("film.mov", 50 * MiB)
    upload_page.send_one_part(file)
    upload_page.reload()
    begun = upload_page.file_id()
    upload_page.expect_state("film.mov", "left")
    make_file("film.mov", 50 * MiB)
    upload_page.choose(file)
    sent = upload_page.row("film.mov").first
    expect(sent).to_contain_text("This is not the file that was begun: it is sent anew.", timeout=30_000)
    expect(sent).to_have_attribute("data-state", "done", timeout=30_000)
    assert upload_page.sent_parts() == [1, 2, 3]
    assert (
        hashlib.sha256(
            upload_page.page.context.request.get(sent.get_by_role("link").get_attribute("href") or "").body()
        ).digest()
        == hashlib.sha256(file.read_bytes()).digest()
    )
    assert upload_page.file_id() == begun


def test_a_file_that_changes_while_it_is_sent_has_to_be_chosen_again(
    upload_page: UploadPage, make_file: MakeFile, complaints: Complaints
) -> None:
    complaints.expect("net::ERR_UPLOAD_FILE_CHANGED|net::ERR_FAILED")
    file = make_file("film.mov", 50 * MiB)
    upload_page.send_one_part(file)
    with file.open("r+b") as opened:
        opened.write(b"other bytes")
    os.utime(file, (1, 1))
    upload_page.release()
    upload_page.expect_state("film.mov", "unreadable")
    upload_page.expect_text("film.mov", "The file cannot be read: was it changed or moved?")
    upload_page.choose_again("film.mov", file)
    upload_page.expect_state("film.mov", "done")
    assert_same(upload_page, "film.mov", file)


def test_a_file_that_was_sent_before_is_there_at_once(upload_page: UploadPage, make_file: MakeFile) -> None:
    file = make_file("film.mov", 30 * MiB)
    upload_page.choose(file)
    upload_page.expect_state("film.mov", "done")
    md5 = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    link = upload_page.link("film.mov").replace("/content", "")
    wait(upload_page.page, lambda: upload_page.page.context.request.get(link).json().get("verified") is True)
    upload_page.reload()
    upload_page.choose(file)
    upload_page.expect_text("film.mov", "was here already")
    assert upload_page.sent_parts() == []
    assert upload_page.forms()[0]["md5"] == md5


def test_what_was_finished_while_nobody_looked_is_listed_once(upload_page: UploadPage, make_file: MakeFile) -> None:
    upload_page.choose(make_file("film.mov", 2 * MiB))
    upload_page.expect_state("film.mov", "done")
    file_id = upload_page.forms()[-1]["fileId"]
    upload_page.remember(json.dumps({"0" * 32: {"fileId": int(file_id)}}))
    upload_page.reload()
    upload_page.expect_state("film.mov", "done")
    assert len(upload_page.content("film.mov")) == 2 * MiB
    upload_page.reload()
    expect(upload_page.page.get_by_role("heading", name="Send files")).to_be_visible()
    expect(upload_page.page.locator(".row")).to_have_count(0)


def test_what_the_service_has_no_more_is_not_listed(upload_page: UploadPage, complaints: Complaints) -> None:
    complaints.expect("404")
    upload_page.remember(json.dumps({"0" * 32: {"fileId": 10**9}}))
    upload_page.reload()
    wait(upload_page.page, lambda: upload_page.remembered() == {})
    expect(upload_page.page.locator(".row")).to_have_count(0)


def test_cancel_asks_once_more_and_removes_what_was_sent(upload_page: UploadPage, make_file: MakeFile) -> None:
    upload_page.send_one_part(make_file("film.mov", 50 * MiB))
    file_id = upload_page.file_id()
    upload_page.press_twice("film.mov", "Cancel", "Really cancel?")
    expect(upload_page.page.locator(".row")).to_have_count(0)
    wait(upload_page.page, lambda: upload_page.upload(file_id) == {})
    assert upload_page.remembered() == {}


def test_what_is_left_can_be_removed(upload_page: UploadPage, make_file: MakeFile) -> None:
    upload_page.send_one_part(make_file("film.mov", 50 * MiB))
    upload_page.reload()
    file_id = upload_page.file_id()
    upload_page.press_twice("film.mov", "Remove", "Really remove?")
    expect(upload_page.page.locator(".row")).to_have_count(0)
    wait(upload_page.page, lambda: upload_page.upload(file_id) == {})
    upload_page.reload()
    expect(upload_page.page.locator(".row")).to_have_count(0)


def test_an_upload_that_the_service_has_removed_begins_anew(
    upload_page: UploadPage, make_file: MakeFile, complaints: Complaints
) -> None:
    complaints.expect("404")
    file = make_file("film.mov", 50 * MiB)
    upload_page.send_one_part(file)
    upload_page.press("film.mov", "Pause")
    cookies = {cookie["name"]: cookie["value"] for cookie in upload_page.page.context.cookies()}
    answer = upload_page.page.context.request.delete(
        f"{upload_page.url}{API}/{upload_page.file_id()}", headers={"X-CSRFToken": cookies["csrftoken"]}
    )
    assert answer.ok, answer.text()
    upload_page.release()
    upload_page.press("film.mov", "Resume")
    upload_page.expect_state("film.mov", "done")
    assert upload_page.options() == ["initiate", "initiate", "complete"]
    assert_same(upload_page, "film.mov", file)


def test_several_files_take_turns(upload_page: UploadPage, make_file: MakeFile) -> None:
    names = [f"scan-{number}.tif" for number in range(5)]
    upload_page.choose(*(make_file(name, 3 * MiB) for name in names))
    for name in names:
        upload_page.expect_state(name, "done")
    assert max(look["atWork"] for look in upload_page.seen()) == 2


def test_files_are_dropped_on_the_page(upload_page: UploadPage) -> None:
    upload_page.page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["one"], "one.txt"));
          transfer.items.add(new File(["two"], "two.txt"));
          const drop = (type) => document.body.dispatchEvent(
            new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
          drop("dragover");
          drop("drop");
        }"""
    )
    for name in ("one", "two"):
        upload_page.expect_state(f"{name}.txt", "done")
        assert upload_page.content(f"{name}.txt") == name.encode()


def test_two_tabs_send_a_file_once(
    upload_page: UploadPage, context: BrowserContext, make_file: MakeFile, carryon: Carryon
) -> None:
    file = make_file("film.mov", 50 * MiB)
    other = UploadPage(context.new_page(), carryon.service.url).open()
    upload_page.send_one_part(file)
    other.choose(file)
    other.expect_text("film.mov", "Another tab is sending this file")
    upload_page.release()
    upload_page.expect_state("film.mov", "done")
    other.expect_state("film.mov", "done")
    assert upload_page.sent_parts() == [1, 2, 3]
    assert other.sent_parts() == []
    assert other.link("film.mov") == upload_page.link("film.mov")
    assert other.remembered() == {}


def test_a_tab_that_waits_goes_on_where_the_other_was_closed(
    upload_page: UploadPage, context: BrowserContext, make_file: MakeFile, carryon: Carryon
) -> None:
    file = make_file("film.mov", 50 * MiB)
    other = UploadPage(context.new_page(), carryon.service.url).open()
    upload_page.send_one_part(file)
    other.choose(file)
    other.expect_state("film.mov", "waiting")
    upload_page.page.close()
    other.expect_state("film.mov", "done")
    assert other.sent_parts() == [2, 3]
    assert_same(other, "film.mov", file)


def test_a_refusal_is_told_in_the_services_words_and_can_be_tried_again(
    upload_page: UploadPage, tmp_path: Path, complaints: Complaints
) -> None:
    complaints.expect("413")
    file = tmp_path / "huge.bin"
    with file.open("wb") as opened:
        opened.truncate(MAX_BYTES + 1)
    upload_page.choose(file)
    upload_page.expect_state("huge.bin", "failed")
    upload_page.expect_text("huge.bin", str(MAX_BYTES))
    upload_page.press("huge.bin", "Try again")
    wait(upload_page.page, lambda: upload_page.options() == ["initiate", "initiate"])
    upload_page.expect_state("huge.bin", "failed")


def test_who_is_logged_out_meanwhile_is_told_where_to_log_in(
    upload_page: UploadPage, context: BrowserContext, make_file: MakeFile, complaints: Complaints
) -> None:
    complaints.expect("401")
    context.clear_cookies(name="sessionid")
    upload_page.choose(make_file("notes.txt", 1200))
    upload_page.expect_state("notes.txt", "failed")
    with context.expect_page() as opened:
        upload_page.page.get_by_role("alert").get_by_role("link", name="Log in").click()
    UploadPage(opened.value, upload_page.url).log_in()
    upload_page.expect_text("notes.txt", "You are logged out.")
    upload_page.press("notes.txt", "Try again")
    upload_page.expect_state("notes.txt", "done")
    expect(upload_page.page.locator("#logged-out")).to_be_hidden()


def test_everything_can_be_done_from_the_keyboard(upload_page: UploadPage, make_file: MakeFile) -> None:
    page, keyboard = upload_page.page, upload_page.page.keyboard
    choosers: list[FileChooser] = []

    def note(chooser: FileChooser) -> None:
        choosers.append(chooser)

    page.on("filechooser", note)  # long before the key is pressed: it takes a moment to come into force
    upload_page.hold_after(1)
    file = make_file("film.mov", 50 * MiB)
    page.get_by_label("Folder").focus()
    keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Choose files")
    keyboard.press("Enter")
    wait(page, lambda: choosers)
    choosers[0].set_files(file)
    upload_page.expect_state("film.mov", "uploading")
    keyboard.press("Tab")
    keyboard.press("Enter")
    upload_page.expect_state("film.mov", "paused")
    expect(page.locator(":focus")).to_have_text("Resume")
    upload_page.release()
    keyboard.press("Enter")
    upload_page.expect_state("film.mov", "done")


@pytest.mark.parametrize("folder", ["", "a/b", "..", "a\\b"])
def test_no_file_goes_without_a_folder(upload_page: UploadPage, make_file: MakeFile, folder: str) -> None:
    upload_page.page.get_by_label("Folder").fill(folder)
    upload_page.choose(make_file("notes.txt", 1200))
    expect(upload_page.page.locator(".row")).to_have_count(0)
    assert upload_page.page.locator("#catalog:invalid").count() == 1
    assert upload_page.forms() == []


def test_what_only_the_service_knows_to_be_wrong_can_be_mended(
    upload_page: UploadPage, make_file: MakeFile, complaints: Complaints
) -> None:
    complaints.expect("400")
    upload_page.page.get_by_label("Folder").fill("letters\u202e")
    upload_page.choose(make_file("notes.txt", 1200))
    upload_page.expect_state("notes.txt", "failed")
    upload_page.page.get_by_label("Folder").fill("letters")
    upload_page.press("notes.txt", "Try again")
    upload_page.expect_state("notes.txt", "done")
    assert [form["catalog"] for form in upload_page.forms() if "catalog" in form][-1] == "letters"


@pytest.mark.parametrize("entry", ["not JSON", '"text"', "null", '{"0": null}'])
def test_a_record_that_somebody_spoilt_stops_nothing(upload_page: UploadPage, make_file: MakeFile, entry: str) -> None:
    upload_page.remember(entry)
    upload_page.reload()
    upload_page.choose(make_file("notes.txt", 1200))
    upload_page.expect_state("notes.txt", "done")
