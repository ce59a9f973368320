"""An export's files: whole or not there, continued behind what was complete, and as their formats want them."""

import asyncio
import errno
import io
import json
import mailbox
import re
import shutil
import zipfile
from contextlib import closing
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_processor.domain.key import read_object_key
from email_processor.domain.stored import read_email_document
from email_processor.ports import Listed
from email_processor.tools.archive import zip_writer
from email_processor.tools.archive.destination import Destination, OneFile, destination
from email_processor.tools.archive.export import take_all
from email_processor.tools.archive.files import FileError, write_whole
from email_processor.tools.archive.output import emit
from email_processor.tools.archive.reader import Kind
from email_processor.tools.archive.search import FoundMail, Search
from email_processor.tools.archive.selection import Selection
from email_processor.tools.command import WrongUseError
from tests.simulation.connection import FETCH, Fate, hung
from tests.support.mail import email
from tests.unit.tools.archive.kit import ALL_DAY, DAY, NOON, Archived, counts, made


def mail(number: int) -> FoundMail:
    """A mail, as it is found and read."""
    key, document = made(f"m{number}", email(f"ann.{number}@example.com", content=f"{number}\nFrom here"))
    place = read_object_key("emails", key)
    assert place is not None
    return FoundMail(Listed(key, len(document)), place, document, read_email_document(document))


MAILS = [mail(number) for number in range(5)]
WAYS = {
    "jsonl": "a.jsonl",
    "mbox": "a.mbox",
    "raw": "folder",
    "eml": "folder",
    "raw in zip": "a.zip",
    "eml in zip": "a.zip",
}
ways = pytest.mark.parametrize(("form", "name"), [(way.split()[0], name) for way, name in WAYS.items()], ids=WAYS)


def opened(path: Path, form: str, *, resume: bool = False) -> Destination:
    """A destination."""
    return destination(path, {"format": form, "selection": "all"}, resume=resume)


def contents(path: Path) -> dict[str, bytes]:
    """What an export has, by the names of its files."""
    if path.is_dir():
        return {str(it.relative_to(path)): it.read_bytes() for it in path.rglob("*") if it.is_file()}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}
    return {path.name: path.read_bytes()}


def exported(path: Path, form: str) -> dict[str, bytes]:
    """All mails, at one go."""
    with opened(path, form) as place:
        for each in MAILS:
            place.add(each)
        place.finish(NOON)
    return contents(path)


@ways
def test_an_export_is_whole_with_its_manifest(form: str, name: str, tmp_path: Path) -> None:
    """Key, SHA-256 and size of every object, and nothing that is unfinished."""
    exported(tmp_path / name, form)
    assert {name, f"{name}.manifest.jsonl"} == {it.name for it in tmp_path.iterdir()}
    head, *lines, foot = map(json.loads, (tmp_path / f"{name}.manifest.jsonl").read_text().splitlines())
    assert {"schema": 1, "format": form, "selection": "all"} == head
    assert {"complete": True, "mails": 5, "unreadable": 0, "as_of": "2024-12-10T12:00:00Z"} == foot
    assert [(it.listed.key, sha256(it.document or b"").hexdigest()) for it in MAILS] == [
        (line["key"], line["sha256"]) for line in lines
    ]


@ways
@pytest.mark.parametrize("torn", [0, 7])
def test_an_export_that_was_killed_goes_on(form: str, name: str, torn: int, tmp_path: Path) -> None:
    """Behind the last mail that is complete, with the same result; what was torn is written again."""
    path, part, journal = tmp_path / name, tmp_path / f"{name}.part", tmp_path / f"{name}.manifest.jsonl.part"
    with opened(path, form) as place:
        for each in MAILS[:3]:
            place.add(each)
    assert not path.exists()
    if torn:
        journal.write_bytes(journal.read_bytes()[:-torn])
        if part.is_file():
            with part.open("ab") as file:
                file.write(b"half of ano")
    with opened(path, form, resume=True) as place:
        assert (3 if not torn else 2) == place.count
        assert place.last_key == MAILS[place.count - 1].listed.key
        for each in MAILS[place.count :]:
            place.add(each)
        place.finish(NOON)
    (tmp_path / "again").mkdir()
    assert exported(tmp_path / "again" / name, form) == contents(path)


@ways
def test_what_was_left_out_is_remembered(form: str, name: str, tmp_path: Path) -> None:
    """Where it stood among the mails: an export that goes on goes on behind it, and says so in the end."""
    odd = MAILS[2].listed.key
    with opened(tmp_path / name, form) as place:
        place.add(MAILS[0])
        place.leave_out(odd, "cut off")
    with opened(tmp_path / name, form, resume=True) as place:
        assert (1, [odd], odd) == (place.count, place.left_out, place.last_key)
        place.add(MAILS[3])
        place.finish(NOON)
    _, *lines, foot = map(json.loads, (tmp_path / f"{name}.manifest.jsonl").read_text().splitlines())
    assert [MAILS[0].listed.key, None, MAILS[3].listed.key] == [line.get("key") for line in lines]
    assert {"left_out": odd, "why": "cut off", "end": lines[0]["end"]} == lines[1]
    assert {"complete": True, "mails": 2, "unreadable": 1, "as_of": "2024-12-10T12:00:00Z"} == foot
    assert not [file for file in contents(tmp_path / name) if odd.removesuffix(".json") in file]


@ways
def test_an_export_that_was_killed_at_its_very_end_goes_on(form: str, name: str, tmp_path: Path) -> None:
    """The data has its name, and the manifest does not have it yet."""
    path = tmp_path / name
    expected = exported(path, form)
    journal, manifest = tmp_path / f"{name}.manifest.jsonl.part", tmp_path / f"{name}.manifest.jsonl"
    said = manifest.read_text()
    manifest.rename(journal)
    with opened(path, form, resume=True) as place:
        assert (5, MAILS[-1].listed.key) == (place.count, place.last_key)
        place.finish(NOON)
    assert expected == contents(path)
    assert said == manifest.read_text()
    assert not journal.exists()


@pytest.mark.parametrize("form", ["jsonl", "raw"])
def test_data_that_did_not_reach_the_disk_is_written_again(form: str, tmp_path: Path) -> None:
    """After a power cut the manifest may be ahead of a file; a folder's files are looked at as they are."""
    path = tmp_path / "to"
    with opened(path, form) as place:
        for each in MAILS[:3]:
            place.add(each)
    if form == "jsonl":
        part = tmp_path / "to.part"
        part.write_bytes(part.read_bytes()[:-10])
        assert 2 == opened(path, form, resume=True).count
    else:
        assert 3 == opened(path, form, resume=True).count


def manifest_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a manifest."""
    return list(map(json.loads, path.with_name(f"{path.name}.manifest.jsonl").read_text().splitlines()))


AN_EVENING = NOON.replace(day=11, hour=0)


@ways
@pytest.mark.parametrize(("began", "is_there"), [(NOON, True), (AN_EVENING, False)])
async def test_a_day_that_is_not_over_is_listed_once_more(
    form: str, name: str, began: datetime, is_there: bool, tmp_path: Path
) -> None:
    """A mail may come under a key that was passed already; the manifest says as of when it is complete."""
    archived = Archived()
    keys = [archived.add(f"m{number}", f"bob.{number}@example.com") for number in range(3)]

    def store(subjects: tuple[str, ...]) -> Fate:
        if subjects == ("GET", keys[2]):
            keys.append(archived.add("late", "ann@example.com"))
            archived.bucket.objects["emails/2024/12/10/ann/odd_120000.json"] = b"{"
            archived.faults.clear(FETCH)
        return Fate()

    archived.faults.always(FETCH, store)
    moments = iter([began, began + timedelta(hours=1)])
    path = tmp_path / name
    with opened(path, form) as place:
        await take_all(archived.reader(), ALL_DAY, "emails", place, now=lambda: next(moments))
    _, *lines, foot = manifest_of(path)
    assert keys[: 4 if is_there else 3] == [line["key"] for line in lines if "key" in line]
    assert [False] * 3 + [True] * (len(lines) - 3) == [line.get("late", False) for line in lines]
    assert (1 if is_there else 0) == foot["unreadable"]
    assert ("2024-12-10T13:00:00Z" if is_there else "2024-12-11T00:00:00Z") == foot["as_of"]
    if path.suffix == ".zip" or form == "raw":
        assert len(lines) - foot["unreadable"] == len(contents(path))


@ways
async def test_an_export_that_goes_on_has_what_came_meanwhile(form: str, name: str, tmp_path: Path) -> None:
    """Once, also if it is stopped again while it takes that; what it has is not read again."""
    archived = Archived()
    keys = [archived.add(f"m{number}", f"bob.{number}@example.com") for number in range(4)]
    path = tmp_path / name
    with opened(path, form) as place:
        async with Search(archived.reader(), ALL_DAY, "emails").mails(read=True) as mails:
            place.add(await anext(mails))
    late = [archived.add(f"m{number}", "ann@example.com") for number in range(2)]
    del archived.bucket.objects[keys[0]]  # what is gone meanwhile is no trouble
    archived.faults.always(FETCH, lambda subjects: hung() if subjects == ("GET", late[1]) else Fate())
    with opened(path, form, resume=True) as place, pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await take_all(archived.reader(), ALL_DAY, "emails", place)
    archived.faults.clear(FETCH)
    reader = archived.reader()
    with opened(path, form, resume=True) as place:
        assert (5, keys[3]) == (place.count, place.last_key)
        await take_all(reader, ALL_DAY, "emails", place)
    assert 1 == counts(reader)[Kind.GET]
    assert [*keys, *late] == [line["key"] for line in manifest_of(path)[1:-1]]
    if path.suffix == ".zip" or form == "raw":
        assert 6 == len(contents(path))


async def test_what_words_were_not_found_in_is_looked_into_once_more(tmp_path: Path) -> None:
    """The manifest has only what was exported, so that nothing else can tell."""
    archived = Archived()
    key = archived.add("a", content="one")
    archived.add("b", content="two")
    reader = archived.reader()
    with opened(tmp_path / "to", "raw") as place:
        selection = Selection(DAY, DAY, text=re.compile("one"))
        await take_all(reader, selection, "emails", place, now=lambda: NOON)
    assert [key] == list(contents(tmp_path / "to"))
    assert 3 == counts(reader)[Kind.GET]


@ways
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("written", ["", '{"schema":1,"form', "\0" * 9, "\0\0\n"])
def test_an_export_that_could_not_even_begin_is_begun(
    form: str, name: str, written: str, resume: bool, tmp_path: Path
) -> None:
    """As on a full disk, or when the machine went down: there is nothing to continue, and nothing to lose."""
    (tmp_path / f"{name}.manifest.jsonl.part").write_text(written)
    with opened(tmp_path / name, form, resume=resume) as place:
        assert 0 == place.count
        for each in MAILS:
            place.add(each)
        place.finish(NOON)
    (tmp_path / "again").mkdir()
    assert exported(tmp_path / "again" / name, form) == contents(tmp_path / name)


@ways
def test_an_export_whose_data_was_removed_begins_again(form: str, name: str, tmp_path: Path) -> None:
    """Its manifest alone says nothing."""
    with opened(tmp_path / name, form) as place:
        place.add(MAILS[0])
    part = tmp_path / f"{name}.part"
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink()
    with opened(tmp_path / name, form, resume=True) as place:
        assert (0, "") == (place.count, place.last_key)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """Neither an export, nor one that is not finished, nor one of something else."""
    path = tmp_path / "to.jsonl"
    with pytest.raises(WrongUseError, match="no unfinished export"):
        opened(path, "jsonl", resume=True)
    (tmp_path / "to.jsonl.part").write_text("of somebody else")
    with pytest.raises(WrongUseError, match=r"to\.jsonl\.part is there already"):
        opened(path, "jsonl")
    (tmp_path / "to.jsonl.part").unlink()
    with opened(path, "jsonl") as place:
        place.add(MAILS[0])
    with pytest.raises(WrongUseError, match="Continue it with --resume"):
        opened(path, "jsonl")
    with pytest.raises(WrongUseError, match="of something else"):
        opened(path, "mbox", resume=True)
    path.write_text("of somebody else")
    with pytest.raises(WrongUseError, match="is there already"):
        opened(path, "jsonl", resume=True)
    path.unlink()
    with opened(path, "jsonl", resume=True) as place:
        place.finish(NOON)
    with pytest.raises(WrongUseError, match="is there already"):
        opened(path, "jsonl")
    with pytest.raises(WrongUseError, match="is no folder"):
        opened(tmp_path / "nowhere" / "to", "raw")


def test_a_full_disk_is_an_error_and_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was complete before can be continued."""
    path = tmp_path / "to"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(path, "raw") as place:
        place.add(MAILS[0])
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(FileError, match="No space left on device"):
            place.add(MAILS[1])
        with pytest.raises(FileError, match="Make room"):
            write_whole(tmp_path / "page.html", b"page")
    assert not path.exists()
    assert not (tmp_path / "page.html").exists()
    assert 1 == opened(path, "raw", resume=True).count


@pytest.mark.parametrize("is_caught", [True, False])
def test_a_disk_that_is_full_when_a_file_is_closed_is_the_same_error(is_caught: bool, tmp_path: Path) -> None:
    """What is left in the buffer fails once more, and does not hide the first error; at a good end it is the first."""
    with pytest.raises(FileError, match="No space left on device"), opened(tmp_path / "to", "jsonl") as place:  # noqa: PT012 - the end is what fails
        assert isinstance(place, OneFile)
        place._file.close()
        place._file = Path("/dev/full").open("wb")  # noqa: SIM115 - the destination closes it
        if is_caught:
            place.add(MAILS[0])
        else:
            place._file.write(b"of a mail")


def test_mail_programs_read_an_mbox(tmp_path: Path) -> None:
    """As many mails as there are, though a line of one begins as a mail does."""
    exported(tmp_path / "a.mbox", "mbox")
    with closing(mailbox.mbox(tmp_path / "a.mbox", create=False)) as box:
        payloads = [it.get_payload(decode=True) for it in box]
    assert [f"{number}\nFrom here".encode() for number in range(5)] == payloads


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), st.binary(), max_size=5))
def test_a_zip_archive_is_one(files: dict[str, bytes]) -> None:
    """As the standard library reads it, names of any script included."""
    assert files == read_back(io.BytesIO(), files)


def test_a_zip_archive_may_be_large(tmp_path: Path) -> None:
    """More files than the old format could count, and files behind the first 4 GiB, which are a hole here."""
    many = {f"{number}": b"" for number in range(70_000)}
    assert many == read_back(io.BytesIO(), many)
    with (tmp_path / "sparse").open("w+b") as file:
        file.seek(2**32 + 5)
        assert {"far": b"away"} == read_back(file, {"far": b"away"})


def read_back(file: BinaryIO, files: dict[str, bytes]) -> dict[str, bytes]:
    """The files of an archive that has them."""
    entries = [zip_writer.add_entry(file, file.tell(), name, data) for name, data in files.items()]
    zip_writer.end_archive(file, file.tell(), entries)
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        return {it.filename: archive.read(it) for it in archive.infolist()}


def test_results_that_do_not_fit_on_the_disk_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not tried again when the process ends."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(FileError, match="What is printed cannot be written: No space left on device"):
            emit(b"a row")
