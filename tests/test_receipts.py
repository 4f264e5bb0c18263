"""Receipts: intent before a call, outcome after it, both on the disk; what is finished and unchanged counts as done."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.errors import PersonDecides
from downstream.domain.story import Brief
from downstream.receipts import Receipts, digest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the receipts of a stream lie."""
    return tmp_path / "streams" / "test" / "receipts.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    """What is in the file, each line whole."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def settled(path: Path, name: str = "clips/01.mp4", call: str = "clips/01", inputs: str = "i1") -> Path:
    """A file with its receipt."""
    receipts = Receipts(path)
    made = path.parent / name
    made.parent.mkdir(exist_ok=True)
    made.write_bytes(b"moving pictures")
    attempt = receipts.intend(call, inputs, "maker")
    receipts.settle(attempt, outputs=[made], result={"id": "p-1", "né": None})
    return made


def test_a_settled_call_is_known_to_the_next_process_with_its_files_and_facts(path: Path) -> None:
    settled(path)

    receipt = Receipts(path).outcome("clips/01", "i1")

    assert receipt is not None
    assert list(receipt.outputs) == ["clips/01.mp4"]
    assert receipt.result == {"id": "p-1", "né": None}
    assert receipt.provider == "maker"
    assert [line["phase"] for line in lines(path)] == ["intent", "outcome"]
    assert all(line["at"].endswith("+00:00") for line in lines(path))


def test_other_inputs_or_another_call_have_no_receipt(path: Path) -> None:
    settled(path)

    assert Receipts(path).outcome("clips/01", "i2") is None
    assert Receipts(path).outcome("clips/02", "i1") is None


@pytest.mark.parametrize("change", ["changed", "removed", "a folder"])
def test_a_receipt_does_not_count_when_its_files_are_not_what_they_were(path: Path, change: str) -> None:
    made = settled(path)
    if change == "changed":
        made.write_bytes(b"moving picturez")
    else:
        made.unlink()
    if change == "a folder":
        made.mkdir()

    assert Receipts(path).outcome("clips/01", "i1") is None


def test_the_last_outcome_of_a_call_counts(path: Path) -> None:
    settled(path, inputs="i1")
    settled(path, inputs="i2")

    assert Receipts(path).outcome("clips/01", "i1") is None
    assert Receipts(path).outcome("clips/01", "i2") is not None


def test_an_intent_alone_is_no_outcome(path: Path) -> None:
    Receipts(path).intend("mail", "i1", "post")

    assert Receipts(path).outcome("mail", "i1") is None
    assert len(lines(path)) == 1


def test_intent_and_outcome_are_on_the_disk_before_the_call_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []
    sync = os.fsync

    def recording(descriptor: int) -> None:
        sync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

    receipts = Receipts(path)
    monkeypatch.setattr(os, "fsync", recording)

    attempt = receipts.intend("mail", "i1", "post")
    assert [inode for inode, _ in synced] == [path.stat().st_ino, path.parent.stat().st_ino]
    receipts.settle(attempt)
    assert synced[-1] == (path.stat().st_ino, path.stat().st_size)


@pytest.mark.parametrize("torn", [b"{", b'{"at": "2026', b'{"phase": "outcome", "call": "clips/01"}', b"\0" * 100])
def test_a_line_torn_by_a_power_cut_never_counted_and_does_not_spoil_the_next(path: Path, torn: bytes) -> None:
    settled(path)
    with path.open("ab") as file:
        file.write(torn)

    receipts = Receipts(path)
    assert receipts.outcome("clips/01", "i1") is not None
    receipts.intend("clips/02", "i2", "maker")

    assert [line["call"] for line in lines(path)] == ["clips/01", "clips/01", "clips/02"]


@pytest.mark.parametrize("line", [b"not JSON", b"[]", b"5", b"{}", b'{"phase": "outcome"}', b"", b"\xff", b"\0\0\0"])
def test_a_line_that_is_no_receipt_is_for_a_person_since_nobody_knows_what_was_paid_for(
    path: Path, line: bytes
) -> None:
    settled(path)
    before = path.read_bytes() + line + b"\n"
    path.write_bytes(before)

    with pytest.raises(PersonDecides, match=r"streams/test/receipts\.jsonl: line 3 is not a receipt"):
        Receipts(path)

    assert path.read_bytes() == before


def test_a_disk_that_fills_up_leaves_no_torn_line(path: Path) -> None:
    settled(path)
    size = path.stat().st_size

    child = os.fork()
    if child == 0:
        receipts = Receipts(path)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, size + 40))  # the write stops after 40 bytes
        try:
            receipts.intend("clips/02", "i" * 64, "maker")
        except OSError as error:
            os._exit(0 if error.errno == errno.ENOSPC else 2)
        os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.stat().st_size == size


def test_threads_may_write_at_once(path: Path) -> None:
    receipts = Receipts(path)

    def call(number: int) -> None:
        attempt = receipts.intend(f"clips/{number}", "i", "maker")
        receipts.settle(attempt, result={"long": "x" * 5000})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(40)))

    assert len(lines(path)) == 80
    assert all(Receipts(path).outcome(f"clips/{number}", "i") for number in range(40))


def test_only_the_owner_reads_receipts(path: Path) -> None:
    before = os.umask(0)
    try:
        Receipts(path).intend("mail", "i1", "post")
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@dataclass(frozen=True)
class Wish:
    """Something to hash."""

    prompt: str
    reference: object = None


def test_a_digest_changes_with_what_a_call_depends_on_and_with_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("same")
    (tmp_path / "b").write_text("same")
    (tmp_path / "c").write_text("other")

    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(Wish("x", Brief(notes="n"))) == digest(Wish("x", Brief(notes="n")))
    different = [
        digest(),
        digest("x"),
        digest("x", "y"),
        digest("xy"),
        digest(1),
        digest(1.5),
        digest(None),
        digest(tmp_path / "a"),
        digest(tmp_path / "c"),
        digest(Wish("x")),
        digest(Wish("x", Brief())),
        digest(Wish("x", Brief(notes="n"))),
        digest(Wish("x", (1, 2))),
    ]
    assert len(set(different)) == len(different)


def test_a_digest_of_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot hash a object"):
        digest(object())
