"""Where a case may lie, and what it may be copied from: never what is somebody else's, nor the service's own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from django import conf
from django.test import override_settings
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from config.settings.values import Cloud
from sync import places
from sync.models import Case
from transfers.engine.s3 import S3Place
from transfers.engine.tree.base import SMALL_BYTES, Content, Description, Entry, Kind, part_plan
from transfers.errors import InvalidInputError, UnknownRegionError

REGION = "ap-northeast-2"


@dataclass(frozen=True)
class Ground:
    """What is there: source roots, with folders in them, and the service's own folders."""

    root: Path

    @property
    def sources(self) -> Path:
        return self.root / "sources"

    @property
    def nas(self) -> Path:
        return self.root / "nas"

    @property
    def data_dir(self) -> Path:
        return self.root / "service"

    @property
    def save_path(self) -> Path:
        return self.data_dir / "cases"


@pytest.fixture
def ground(settings: Settings, tmp_path: Path) -> Ground:
    ground = Ground(tmp_path.resolve())
    for folder in (
        ground.sources / "case",
        ground.nas / "a/b",
        ground.save_path / "group/pid/name",
        ground.root / "etc",
    ):
        folder.mkdir(parents=True)
    use(
        settings,
        data_dir=ground.data_dir,
        sync_save_path=ground.save_path,
        sync_source_roots=[ground.sources, ground.nas],
        sync_regions={},
        path_map={
            "C:\\data": str(ground.sources),
            "D:/": str(ground.nas),
            "X:\\": str(ground.root / "etc"),
            "/mnt/n": "n",
        },
        download_root=ground.root / "downloads",
    )
    return ground


def use(settings: Settings, **values: object) -> None:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update=values)


def new_case(**facts: object) -> Case:
    values = {
        "pk": 7,
        "owner_group_id": "group",
        "pid": "pid",
        "projectname": "name",
        "region": REGION,
        "s3keypath": "k",
    }
    return Case(**{**values, **facts})  # type: ignore[arg-type]


# The source ----------------------------------------------------------------------------------------------------------

INSIDE = {
    "windows": ("C:\\data\\case", "sources/case"),
    "windows-folder": ("C:\\data\\case\\", "sources/case"),
    "windows-in-any-case": ("c:\\DATA\\case", "sources/case"),
    "windows-with-slashes": ("C:/data/case/", "sources/case"),
    "another-drive": ("D:\\a\\b", "nas/a/b"),
    "deep": ("C:\\data\\case\\a\\b\\c", "sources/case/a/b/c"),
    "up-and-down": ("C:\\data\\case\\..\\case", "sources/case"),
    "across-roots": ("C:\\data\\..\\nas\\a", "nas/a"),
    "not-there": ("C:\\data\\missing", "sources/missing"),
    "unicode": ("C:\\data\\환자 가", "sources/환자 가"),
}
OUTSIDE = {
    "nothing": "",
    "relative": "case",
    "a-drive-without-a-folder": "E:\\data",
    "a-drive-that-only-begins-alike": "C:\\database\\case",
    "a-share": "\\\\server\\share",
    "a-root-itself": "C:\\data",
    "a-root-itself-as-a-folder": "C:\\data\\",
    "a-root-by-way-of-what-is-in-it": "C:\\data\\case\\..",
    "up": "C:\\data\\..",
    "up-and-away": "C:\\data\\..\\etc",
    "far-up": "C:\\data" + "\\.." * 50 + "\\etc",
    "mapped-elsewhere": "X:\\",
    "below-what-is-mapped-elsewhere": "X:\\a",
    "mapped-into-the-downloads": "/mnt/n/a",
    "home": "~",
    "url": "file:///etc",
}


@pytest.mark.parametrize(("source", "expected"), INSIDE.values(), ids=INSIDE)
def test_a_source_below_a_root(ground: Ground, source: str, expected: str) -> None:
    assert places.source_folder(source) == ground.root / expected


def test_a_source_in_the_servers_own_words(ground: Ground) -> None:
    assert places.source_folder(f"{ground.sources}/case/") == ground.sources / "case"
    assert places.source_folder(f"{ground.sources}2/case") is None
    assert places.source_folder(f"{ground.root}") is None


@pytest.mark.parametrize("source", OUTSIDE.values(), ids=OUTSIDE)
def test_a_source_that_is_none(ground: Ground, source: str) -> None:
    assert places.source_folder(source) is None


@pytest.mark.parametrize("source", ["C:\\data\\a\0", "C:\\data\\a\nb", "\x7f", "a\x85", "C:\\data\\\ud800", "a" * 2049])
def test_a_source_that_can_be_none(ground: Ground, source: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        places.source_folder(source)
    assert set(refused.value.errors) == {"source"}


@pytest.mark.parametrize("source", ["C:\\data\\" + "n" * 300, "C:\\data\\" + "n\\" * 1000])
def test_a_source_that_is_too_long_to_be_looked_at(ground: Ground, source: str) -> None:
    folder = places.source_folder(source)
    assert folder is None or not os.path.isdir(folder)  # noqa: PTH112 - raises nothing


def test_links_lead_to_where_they_lead(ground: Ground) -> None:
    (ground.sources / "out").symlink_to(ground.root / "etc")
    (ground.sources / "up").symlink_to("..")
    (ground.sources / "over").symlink_to(ground.nas / "a")
    (ground.sources / "round").symlink_to("round")
    assert places.source_folder("C:\\data\\out") is None
    assert places.source_folder("C:\\data\\out\\below") is None
    assert places.source_folder("C:\\data\\up\\etc") is None
    assert places.source_folder("C:\\data\\up\\sources\\case") == ground.sources / "case"
    assert places.source_folder("C:\\data\\over\\b") == ground.nas / "a/b"
    assert places.source_folder("C:\\data\\out\\..\\case") is None, "`..` is of where the link leads"
    found = places.source_folder("C:\\data\\round\\a")
    assert found is None or not found.is_dir()


def test_a_root_that_is_a_link_is_where_it_leads(ground: Ground, settings: Settings) -> None:
    (ground.root / "link").symlink_to(ground.sources)
    use(settings, sync_source_roots=[ground.root / "link"])
    assert places.source_folder(f"{ground.root}/link/case") == ground.sources / "case"
    assert places.source_folder(f"{ground.sources}/case") == ground.sources / "case"
    assert places.source_folder(f"{ground.root}/link") is None


def test_without_roots_there_is_no_source(ground: Ground, settings: Settings) -> None:
    use(settings, sync_source_roots=[])
    assert places.source_folder("C:\\data\\case") is None


def test_a_root_within_a_root_is_below_a_root(ground: Ground, settings: Settings) -> None:
    use(settings, sync_source_roots=[ground.sources, ground.sources / "case"])
    assert places.source_folder("C:\\data\\case") == ground.sources / "case"


def test_a_root_above_the_service_opens_nothing_of_it(ground: Ground, settings: Settings) -> None:
    use(settings, sync_source_roots=[ground.root, ground.root.parent])
    closed = [
        "",
        "service",
        "service/cases",
        "service/cases/group",
        "service/cases/group/pid/name",
        "service/run",
        "x/..",
    ]
    assert [places.source_folder(f"{ground.root}/{place}") for place in closed] == [None] * len(closed)
    assert places.source_folder(f"{ground.sources}") == ground.sources
    (ground.sources / "link").symlink_to(ground.data_dir)
    assert places.source_folder(f"{ground.sources}/link") is None


def test_a_root_within_the_service_opens_itself_alone(ground: Ground, settings: Settings) -> None:
    use(settings, sync_source_roots=[ground.data_dir / "incoming"])
    assert places.source_folder(f"{ground.data_dir}/incoming/case") == ground.data_dir / "incoming/case"
    assert places.source_folder(f"{ground.data_dir}/run") is None


def test_the_save_path_is_no_source_even_if_it_is_a_root(ground: Ground, settings: Settings) -> None:
    use(settings, sync_source_roots=[ground.save_path, ground.data_dir])
    assert places.source_folder(f"{ground.save_path}/group") is None
    assert places.source_folder(f"{ground.save_path}") is None


def test_a_folder_that_plays_cloud_is_no_source(ground: Ground, settings: Settings) -> None:
    cloud = ground.sources / "cloud"
    use(settings, sync_regions={REGION: Cloud(folder=cloud), "us-east-1": Cloud(bucket="b")})
    assert places.source_folder(f"{cloud}/k") is None
    assert places.source_folder(f"{ground.sources}/case") == ground.sources / "case"


@contextmanager
def two_roots() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        root, outside = Path(folder).resolve() / "sources", Path(folder).resolve() / "outside"
        (root / "a").mkdir(parents=True)
        outside.mkdir()
        (root / "link").symlink_to(outside)
        (root / "a" / "up").symlink_to("../..")
        environment = conf.settings.ENVIRONMENT.model_copy(
            update={"sync_source_roots": [root], "path_map": {"C:\\data": str(root)}}
        )
        with override_settings(ENVIRONMENT=environment):
            yield root, outside


@given(words=st.lists(st.sampled_from(["..", ".", "", "a", "up", "link", "outside", "sources", "x", " "]), max_size=12))
@example(words=["a", "up", "outside"])
def test_no_way_whatever_leads_out_of_the_roots(words: list[str]) -> None:
    with two_roots() as (root, _):
        for source in ("C:\\data\\" + "\\".join(words), f"{root}/" + "/".join(words)):
            found = places.source_folder(source)
            assert found is None or (root in found.parents and found == Path(os.path.realpath(found)))


# The case's own places -----------------------------------------------------------------------------------------------


def test_a_case_lies_below_the_save_path(ground: Ground) -> None:
    assert places.local_folder(new_case()) == ground.save_path / "group/pid/name"
    assert [entry.path for entry in places.local_tree(new_case()).entries()] == []


def test_a_local_tree_keeps_its_unfinished_files_beside_the_cases(ground: Ground) -> None:
    tree = places.local_tree(new_case())
    tree.write("a/b", Content(b"x", "9dd4e461268c8034f5c8564e155c67a6", 1), None)
    tree.settle()
    assert (places.local_folder(new_case()) / "a/b").read_bytes() == b"x"
    assert [entry.path for entry in tree.entries()] == ["a/", "a/b"]
    files = [path for path in ground.save_path.rglob("*") if path.is_file()]
    assert files == [places.local_folder(new_case()) / "a/b"]


def test_a_source_tree_tells_the_source_and_writes_nothing_there(ground: Ground) -> None:
    (ground.sources / "case" / "upper.stl").write_bytes(b"solid")
    tree = places.source_tree(new_case(), str(ground.sources / "case"))
    assert [(entry.path, entry.size) for entry in tree.entries()] == [("upper.stl", 5)]
    assert [path.name for path in ground.sources.rglob("*")] == ["case", "upper.stl"]


def test_every_region_is_a_folder_of_its_own_where_none_is_configured(ground: Ground) -> None:
    assert places.cloud_of(REGION).folder == ground.data_dir / "cloud" / REGION
    assert places.cloud_of("us-east-1") != places.cloud_of(REGION)
    assert places.regions_with(places.cloud_of(REGION)) == []


@pytest.mark.parametrize("region", ["", ".", "..", "a/b", "../a", "/etc", "a\\b", "a\0", "a\n", ".carryon", "n" * 256])
def test_a_region_that_could_be_no_folder_is_unknown(ground: Ground, region: str) -> None:
    with pytest.raises(UnknownRegionError):
        places.cloud_of(region)


def test_where_regions_are_configured_there_are_no_others(ground: Ground, settings: Settings) -> None:
    bucket = Cloud(bucket="b", endpoint_url="http://s3.example")
    use(settings, sync_regions={REGION: bucket, "eu-west-1": bucket, "us-east-1": Cloud(bucket="b")})
    assert places.cloud_of(REGION) == bucket
    assert places.regions_with(bucket) == [REGION, "eu-west-1"]
    with pytest.raises(UnknownRegionError, match="mars-1"):
        places.cloud_of("mars-1")


def test_a_folder_that_plays_cloud_has_the_case_under_its_prefix(ground: Ground, settings: Settings) -> None:
    use(settings, sync_regions={REGION: Cloud(folder=ground.root / "cloud")})
    tree = places.cloud_tree(new_case(s3keypath="userdata/k"))
    tree.write("a", Content(b"x", "9dd4e461268c8034f5c8564e155c67a6", 1), None)
    tree.settle()
    assert (ground.root / "cloud/userdata/k/a").read_bytes() == b"x"


def test_two_services_with_one_cloud_do_not_take_each_others_unfinished_files(
    ground: Ground, settings: Settings
) -> None:
    """Either has a case of the same number, of which it brings a large file of the same path."""
    use(settings, sync_regions={REGION: Cloud(folder=ground.root / "cloud")})
    plan = part_plan(SMALL_BYTES + 1)
    sinks = {}
    for prefix in ("theirs", "ours"):
        tree = places.cloud_tree(new_case(pk=1, s3keypath=prefix))
        sinks[prefix] = tree.sink("film", f"{prefix} 1", Description(1, None), None)
        sinks[prefix].begin(plan)
    for sink in sinks.values():
        assert sink.join(plan)
        sink.close()


def test_a_bucket_has_the_case_under_its_prefix() -> None:
    place = S3Place("b", "userdata/k", "http://s3.example", REGION)
    assert place.key("a/b") == "userdata/k/a/b"


# Names ---------------------------------------------------------------------------------------------------------------

GOOD_NAMES = [
    "a",
    "...",
    ".a",
    "a b",
    " ",
    "환자",
    "n" * 255,
    "한" * 85,
    "%2e%2e",
    "-rf",
    "CON",
    "a:b",
    "\u202ea",
    ".carryon2",
]
BAD_NAMES = ["", ".", "..", "a/b", "/", "a\\b", "\\", "a\0", "a\n", "\x7f", "a\u2028", "\ud800", "n" * 256, "한" * 86]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_name_that_a_folder_can_have(name: str) -> None:
    assert places.problem_of_name(name) == ""
    assert places.problems_of_prefix(name) == []


@pytest.mark.parametrize("name", [*BAD_NAMES, ".carryon"])
def test_a_name_that_no_folder_can_have(name: str) -> None:
    assert places.problem_of_name(name)
    if "/" not in name:
        assert places.problems_of_prefix(name)
        assert places.problems_of_prefix(f"a/{name}/b")


@given(name=st.text(st.characters(), max_size=300))
@example(name="..")
def test_a_good_name_is_one_that_a_folder_below_another_really_can_have(name: str) -> None:
    if places.problem_of_name(name):
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / name
        made.mkdir()
        assert [path.name for path in Path(folder).iterdir()] == [name]


@pytest.mark.parametrize(
    ("prefix", "is_good"),
    [
        *(("a/b/c", True), ("a//b", False), ("/a", False), ("a/", False), ("k" * 224 + "/" + "k" * 224, True)),
        *(("/".join(["k" * 224] * 4), True), ("/".join(["k" * 224] * 4) + "kk", False)),
        *(("/".join("한" * 225), True), ("/".join("한" * 226), False)),
    ],
)
def test_prefixes(prefix: str, is_good: bool) -> None:  # noqa: FBT001 - a table
    assert (places.problems_of_prefix(prefix) == []) == is_good


@pytest.mark.parametrize(
    ("path", "bytes_over"), [("p" * (1024 - 2), 0), ("p" * (1024 - 1), 1), ("한" * 340, 0), ("한" * 341, 1)]
)
def test_a_key_that_would_be_too_long_is_a_problem(path: str, bytes_over: int) -> None:
    entry = Entry(path, size=5, version="v")
    limited = places.within_limits(new_case(s3keypath="k"), entry)
    assert (limited.kind, limited.path, limited.size) == (
        Kind.PROBLEM if bytes_over else Kind.FILE,
        path,
        5,
    )
    assert ("1024" in limited.problem) == bool(bytes_over)


def test_what_is_a_problem_already_stays_that_one() -> None:
    entry = Entry("p" * 2000, Kind.PROBLEM, problem="it is a pipe")
    assert places.within_limits(new_case(), entry) is entry
