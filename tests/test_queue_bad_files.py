"""The five folders: what is not a job is set aside as it came, with a clear reason, and stops no other."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from downstream.domain.state import State
from downstream.job_file import HALF_WRITTEN_SECONDS, StillWritten, Unreadable
from downstream.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent))
from queue_tools import EARLIER, NOW, claimed, in_child, lying, served


@pytest.fixture
def queue(home: Path) -> Queue:
    """The queue of a new installation."""
    return Queue(home)


BAD: dict[str, tuple[bytes, str]] = {
    "malformed": (b"{'stream_id': 'malformed'}", "it is not JSON"),
    "comma": (b'{"stream_id": "comma", "customer_email": "a@b.c",}', "it is not JSON"),
    "two": (b'{"stream_id": "two", "customer_email": "a@b.c"}{}', "it is not JSON"),
    "zeros": (b"\0" * 300, "it is not JSON"),
    "not-a-number": (b'{"stream_id": "not-a-number", "customer_email": "a@b.c", "x": NaN}', "it is not JSON"),
    "surrogate": (b'{"stream_id": "surrogate", "customer_email": "a@b.c", "x": "\\ud800"}', "it is not JSON"),
    "latin-1": (b'{"stream_id": "latin-1", "customer_email": "a@b.c", "x": "\xe9"}', "it is not UTF-8 (byte 58)"),
    "utf-16": ('{"stream_id": "utf-16"}'.encode("utf-16"), "it is not UTF-8 (byte 0)"),
    "list": (b'[{"stream_id": "list"}]', "it is not a JSON object"),
    "text": (b'"text"', "it is not a JSON object"),
    "nothing": (b"null", "it is not a JSON object"),
    "number-id": (b'{"stream_id": 7, "customer_email": "a@b.c"}', "stream_id: Input should be a valid string"),
    "text-amount": (b'{"stream_id": "text-amount", "customer_email": "a@b.c", "paid_amount": "49"}', "paid_amount"),
    "true-amount": (b'{"stream_id": "true-amount", "customer_email": "a@b.c", "paid_amount": true}', "paid_amount"),
    "minus": (b'{"stream_id": "minus", "customer_email": "a@b.c", "paid_amount": -1}', "paid_amount"),
    "mills": (b'{"stream_id": "mills", "customer_email": "a@b.c", "paid_amount": 0.001}', "is not an amount in eur"),
    "money": (b'{"stream_id": "money", "customer_email": "a@b.c", "currency": "EURO"}', "currency"),
    "yes": (b'{"stream_id": "yes", "customer_email": "a@b.c", "live": "yes"}', "live"),
    "naive": (b'{"stream_id": "naive", "customer_email": "a@b.c", "paid_at": "2026-01-06T14:00:00"}', "paid_at"),
    "history": (b'{"stream_id": "history", "customer_email": "a@b.c", "history": [{"what": "flew"}]}', "history.0"),
    "no-mail": (b'{"stream_id": "no-mail"}', "customer_email: Field required"),
    "two-mails": (b'{"stream_id": "two-mails", "customer_email": "a@b.c,d@e.f"}', "is not an e-mail address"),
    "up": (b'{"stream_id": "../up", "customer_email": "a@b.c"}', "stream_id"),
    "root": (b'{"stream_id": "/etc/passwd", "customer_email": "a@b.c"}', "stream_id"),
    "line": (b'{"stream_id": "line\\n", "customer_email": "a@b.c"}', "stream_id"),
    "other": (b'{"stream_id": "another", "customer_email": "a@b.c"}', "its stream_id is not the name of the file"),
    "Case": (b'{"stream_id": "case", "customer_email": "a@b.c"}', "its stream_id is not the name of the file"),
    "two-megabytes": (b'{"x": "' + b"y" * 2_000_000, "it has 2000007 bytes; a job has at most 1000000"),
    "deep": (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion limit"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_job_is_set_aside_as_it_came_with_the_reason_and_the_next_job_is_served(
    queue: Queue, drop: Callable[..., Path], name: str
) -> None:
    content, reason = BAD[name]
    queue.path(State.PENDING, name).write_bytes(content)
    drop("good")

    assert served(queue) == ["good"]

    assert [(one.path, reason in one.reason) for one in queue.set_aside] == [(queue.path(State.FAILED, name), True)]
    assert queue.path(State.FAILED, name).read_bytes() == content
    explained = queue.path(State.FAILED, name).with_name(f"{name}.json.reason.txt").read_text()
    assert explained.startswith(queue.set_aside[0].reason)
    assert f"jobs/pending, where its name was '{name}.json'" in explained
    assert lying(queue.home) == {"good": ["review"], name: ["failed"]}


@pytest.mark.parametrize("secret", ["secret@example.com", "once upon a time"])
def test_the_reason_never_repeats_what_is_in_the_file(queue: Queue, secret: str) -> None:
    fields = {
        "stream_id": secret,
        "customer_email": f"{secret}, twice",
        "paid_at": secret,
        "live": secret,
        "tries": secret,
    }
    queue.path(State.PENDING, "leaky").write_text(json.dumps(fields))
    queue.path(State.PENDING, "broken").write_text(f'{{"a": "{secret}" {secret}')

    assert served(queue) == []

    assert len(queue.set_aside) == 2
    assert secret not in " ".join(one.reason for one in queue.set_aside)


NAMES = {
    "spaces": b"my order.json",
    "dots": b"...json",
    "leading dash": b"-rf.json",
    "too long for an id": b"a" * 81 + b".json",
    "as long as names get": b"a" * 250 + b".json",
    "long and wide": "é".encode() * 125 + b".json",
    "not UTF-8": b"caf\xe9.json",
    "new line": b"two\nlines.json",
    "terminal colours": b"\x1b[31mred.json",
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_file_whose_name_is_no_stream_id_is_set_aside_under_a_name_that_can_be_shown(
    queue: Queue, drop: Callable[..., Path], kind: str
) -> None:
    name = NAMES[kind]
    Path(os.fsdecode(bytes(queue.folder(State.PENDING)) + b"/" + name)).write_bytes(b"content")
    drop("good")
    if name.startswith(b"."):
        assert served(queue) == ["good"]
        assert not queue.set_aside  # a hidden file is nobody's job
        return

    assert served(queue) == ["good"]

    (aside,) = queue.set_aside
    assert aside.path.read_bytes() == b"content"
    assert aside.path.name.isprintable()
    assert "its name is not a stream id" in aside.reason
    assert "its name is not a stream id" in aside.path.with_name(f"{aside.path.name}.reason.txt").read_text()
    assert [str(one) for one in queue.jobs(State.FAILED) if isinstance(one, Unreadable)]
    assert not list((queue.home / "jobs/pending").iterdir())


def test_two_files_of_one_name_are_both_kept(queue: Queue) -> None:
    for content in (b"[1]", b"[2]", b"[3]"):
        queue.path(State.PENDING, "bad").write_bytes(content)
        assert Queue(queue.home).claim_next(live=True, now=NOW) is None

    names = ["bad.json", "bad.2.json", "bad.3.json"]
    assert [(queue.home / "jobs/failed" / name).read_bytes() for name in names] == [b"[1]", b"[2]", b"[3]"]
    assert all((queue.home / "jobs/failed" / f"{name}.reason.txt").exists() for name in names)


def test_a_symbolic_link_is_set_aside_and_what_it_points_to_is_never_read(queue: Queue, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text('{"stream_id": "link", "customer_email": "a@b.c"}')
    queue.path(State.PENDING, "link").symlink_to(outside)
    queue.path(State.PENDING, "dangling").symlink_to(tmp_path / "nothing")

    assert served(queue) == []

    assert queue.path(State.FAILED, "link").readlink() == outside
    assert queue.path(State.FAILED, "dangling").is_symlink()
    assert {one.reason for one in queue.set_aside} == {"it is a symbolic link; put the file itself there"}
    assert not list((queue.home / "streams").iterdir())


def make_pipe(path: Path) -> None:
    """A pipe nobody writes to."""
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    """A folder with something inside."""
    path.mkdir()
    (path / "inside").write_text("kept")


def make_socket(path: Path) -> None:
    """A socket nobody listens at."""
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)
    os.fchdir(here)
    os.close(here)


@pytest.mark.parametrize("make", [make_pipe, make_folder, make_socket])
def test_what_is_not_a_file_is_set_aside_and_the_next_job_is_served(
    queue: Queue, drop: Callable[..., Path], make: Callable[[Path], None]
) -> None:
    make(queue.path(State.PENDING, "thing"))
    kind = queue.path(State.PENDING, "thing").stat().st_mode
    drop("good")

    assert served(queue) == ["good"]

    assert queue.path(State.FAILED, "thing").stat().st_mode == kind
    assert len(queue.set_aside) == 1
    if make is make_folder:
        assert (queue.path(State.FAILED, "thing") / "inside").read_text() == "kept"
    still_open = [str(link.resolve()) for link in Path("/proc/self/fd").iterdir()]
    assert not [path for path in still_open if path.endswith("thing.json")]


@pytest.mark.parametrize("place", ["folder is a file", "folder leads nowhere", "lock is a folder", "lock is a link"])
def test_an_order_whose_folder_cannot_be_locked_does_not_stop_the_others(
    queue: Queue, drop: Callable[..., Path], place: str
) -> None:
    before = drop("blocked", paid_at=EARLIER).read_bytes()
    drop("good")
    stream = queue.home / "streams/blocked"
    if place == "folder is a file":
        stream.write_text("")
    elif place == "folder leads nowhere":
        stream.symlink_to("nowhere")
    elif place == "lock is a folder":
        (stream / "lock").mkdir(parents=True)
    else:
        stream.mkdir()
        (stream / "lock").symlink_to("elsewhere")

    assert served(queue) == ["good"]

    assert queue.path(State.FAILED, "blocked").read_bytes() == before
    assert "streams/blocked cannot be used" in queue.set_aside[0].reason


def rich_job() -> bytes:
    """A job file with everything JSON knows, in the encoding of each kind of program."""
    extras = {
        "name": "Árvíztűrő \U0001f600 漢字",
        "escaped": "placeholder",
        "numbers": [0, -1, 2.5e-3, 10**30, True, False, None],
        "nested": {"a": {"b": [{"c": '"quoted" \\ /'}]}, "empty": {}, "none": []},
    }
    fields = {"stream_id": "test", "customer_email": "a@b.c", "paid_amount": 49, "paid_at": EARLIER, **extras}
    escaped = json.dumps("é \U0001f600\n", ensure_ascii=True)
    return json.dumps(fields, ensure_ascii=False).replace('"placeholder"', escaped).encode()


def test_a_job_broken_off_at_any_byte_is_left_for_the_next_tick(queue: Queue) -> None:
    whole = rich_job()
    for end in range(len(whole)):
        queue.path(State.PENDING, "test").write_bytes(whole[:end])
        with pytest.raises(StillWritten):
            queue.read(State.PENDING, "test.json")
    queue.path(State.PENDING, "test").write_bytes(whole[:-1])
    assert served(queue) == []
    assert lying(queue.home) == {"test": ["pending"]}

    queue.path(State.PENDING, "test").write_bytes(whole)

    assert served(Queue(queue.home)) == ["test"]


def test_a_job_broken_off_is_set_aside_when_nobody_has_written_to_it_for_long(queue: Queue) -> None:
    path = queue.path(State.PENDING, "test")
    for content in (b"", b'{"stream_id": "test"'):
        path.write_bytes(content)
        os.utime(path, (time.time() - HALF_WRITTEN_SECONDS + 60,) * 2)
        assert served(Queue(queue.home)) == []
        assert path.exists()

        os.utime(path, (time.time() - HALF_WRITTEN_SECONDS - 60,) * 2)
        assert served(Queue(queue.home)) == []
        assert not path.exists()

    assert (queue.home / "jobs/failed/test.2.json").read_bytes() == b'{"stream_id": "test"'
    assert "breaks off in the middle" in (queue.home / "jobs/failed/test.2.json.reason.txt").read_text()


def test_unknown_fields_survive_claim_save_and_every_move(queue: Queue) -> None:
    deep = "x"
    for _ in range(150):
        deep = [deep]  # type: ignore[assignment]
    given = {**json.loads(rich_job()), "paid": "a name of ours", "history_": [None], "deep": deep}
    queue.path(State.PENDING, "test").write_text(json.dumps(given))

    claim = claimed(queue)
    claim.save(claim.job.evolve(tries=2))
    claim.advance(claim.job, State.REVIEW, at=NOW, who="test")
    review = queue.claim_in_review("test.json", now=NOW)
    assert review is not None
    review.advance(review.job, State.COMPLETED, at=NOW, who="test")

    kept = json.loads(queue.path(State.COMPLETED, "test").read_bytes())
    assert {key: kept[key] for key in given} == given


def test_a_byte_order_mark_is_no_trouble(queue: Queue) -> None:
    queue.path(State.PENDING, "test").write_bytes(b"\xef\xbb\xbf" + rich_job())

    assert served(queue) == ["test"]


def test_names_that_are_not_whole_yet_are_nobodys_jobs(queue: Queue) -> None:
    folder = queue.folder(State.PENDING)
    for name in (
        ".test.json.tmp",
        ".hidden.json",
        "test.json~",
        "test.json.part",
        "test.txt",
        ".test.json.swp",
        "4913",
    ):
        (folder / name).write_text('{"stream_id": "test", "customer_email": "a@b.c"}')

    assert queue.is_empty(State.PENDING)
    assert queue.names(State.PENDING) == []
    assert queue.waiting() == []
    assert served(queue) == []
    assert len(list(folder.iterdir())) == 7


def test_what_a_crash_left_of_an_unfinished_write_is_overwritten(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()
    claim = claimed(queue)
    (queue.folder(State.PROCESSING) / ".test.json.tmp").write_bytes(b"x" * 10_000)

    claim.advance(claim.job, State.REVIEW, at=NOW, who="test")

    assert lying(queue.home) == {"test": ["review"]}
    assert not list(queue.home.glob("jobs/*/.*.tmp"))


def test_many_processes_set_a_file_aside_once_and_its_reason_stays_beside_it(home: Path) -> None:
    for number in range(60):
        (home / "jobs/pending" / f"bad {number}.json").write_text(str(number))
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            Queue(home).claim_next(live=True, now=NOW)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6

    failed = home / "jobs/failed"
    assert Counter(path.read_text() for path in failed.glob("*.json")) == {str(number): 1 for number in range(60)}
    assert sorted(path.name for path in failed.glob("*.reason.txt")) == sorted(
        f"bad {number}.json.reason.txt" for number in range(60)
    )


def test_a_machine_out_of_descriptors_takes_no_job_for_a_bad_one(queue: Queue, drop: Callable[..., Path]) -> None:
    drop()
    queue.waiting()

    def starve() -> None:
        highest = max(
            int(path.name) for path in Path("/proc/self/fd").iterdir()
        )  # a long test run has many open already
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 32, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        held: list[int] = []
        with suppress(OSError):
            while True:
                held.append(os.dup(0))
        with pytest.raises(OSError, match="Too many open files"):
            queue.read(State.PENDING, "test.json")
        while True:  # one descriptor more each time, until there are enough
            try:
                claimed(Queue(queue.home))
            except OSError as error:
                assert error.errno == errno.EMFILE  # noqa: PT017
                os.close(held.pop())
            else:
                break

    assert in_child(starve) == 0
    assert lying(queue.home) == {"test": ["processing"]}
