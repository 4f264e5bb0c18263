"""Kernel locks: held while somebody lives, whatever becomes of the file they are on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from downstream.locks import Lock, is_held

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from downstream.locks import Lock
lock = Lock.take(Path(sys.argv[1]))
print("held" if lock else "busy", flush=True)
sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until it is ended."""
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_one_holders_until_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = Lock.take(path)
    assert lock is not None

    assert Lock.take(path) is None
    assert is_held(path)

    lock.release()
    lock.release()
    assert not is_held(path)
    with Lock.wait(path):
        assert is_held(path)
    assert not is_held(path)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path, end: signal.Signals) -> None:
    path = tmp_path / "lock"
    process = holder(path)
    assert Lock.take(path) is None

    process.send_signal(end)
    process.communicate()

    assert not is_held(path)


def test_asking_whether_a_lock_is_held_creates_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "stream/lock")
    assert list(tmp_path.iterdir()) == []


def test_a_program_started_by_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = Lock.take(tmp_path / "lock")
    assert lock is not None
    stranger = subprocess.Popen(["sleep", "30"], close_fds=False)

    lock.release()

    assert not is_held(tmp_path / "lock")
    stranger.kill()
    stranger.wait()


def test_a_lock_file_removed_under_its_holder_gives_a_new_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Lock.take(path)
    assert first is not None

    path.unlink()
    second = Lock.take(path)

    assert second is not None  # whoever removes a lock file gives the lock away
    assert Lock.take(path) is None
    first.release()
    assert is_held(path)


@pytest.mark.parametrize("meddle", ["removed", "replaced"])
def test_a_lock_on_a_file_that_is_gone_when_it_is_got_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meddle: str
) -> None:
    import fcntl

    path = tmp_path / "lock"
    flock, calls = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        calls.append(descriptor)
        if len(calls) == 1 and meddle == "removed":
            path.unlink()
        elif len(calls) == 1:
            (tmp_path / "other").write_text("")
            (tmp_path / "other").replace(path)

    monkeypatch.setattr(fcntl, "flock", late)
    lock = Lock.take(path)

    assert lock is not None
    assert len(calls) == 2
    assert os.fstat(calls[-1]).st_ino == path.stat().st_ino
    assert is_held(path)


def test_while_folders_come_and_go_no_two_hold_the_lock_at_once(tmp_path: Path) -> None:
    path = tmp_path / "stream" / "lock"
    inside: list[int] = []
    most: list[int] = []
    end = time.monotonic() + 1.5

    def take() -> None:
        while time.monotonic() < end:
            lock = Lock.take(path)
            if lock is None:
                continue
            with lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                if len(most) % 3 == 0:  # as forgetting an order does, the lock in hand
                    shutil.rmtree(path.parent, ignore_errors=True)

    with ThreadPoolExecutor(4) as pool:
        for ended in [pool.submit(take) for _ in range(4)]:
            ended.result()

    assert set(most) == {1}
    assert len(most) > 100


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_a_lock_and_its_folder_are_their_owners(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        lock = Lock.take(tmp_path / "stream/lock")
    finally:
        os.umask(before)

    assert lock is not None
    assert (tmp_path / "stream").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "stream/lock").stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_locks_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic"):
        Lock.take(tmp_path / "lock")

    assert not (tmp_path / "elsewhere").exists()


def test_waiting_for_a_lock_ends_when_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = holder(path)
    got: list[Lock] = []
    waiting = threading.Thread(target=lambda: got.append(Lock.wait(path)))
    waiting.start()
    time.sleep(0.1)
    assert not got

    process.kill()
    process.communicate()
    waiting.join(timeout=10)

    assert len(got) == 1
    assert is_held(path)
