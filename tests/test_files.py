"""Files that survive a power cut, and hashes that tell one edition from another."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from downstream.files import (
    private_folder,
    replace,
    sha256_of,
    sync_tree,
    temporary_name,
    tree_files,
    tree_sha256,
    write_durably,
)

if TYPE_CHECKING:
    import pytest


def test_a_file_is_written_whole_and_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_durably(tmp_path / "file", b"content")
    finally:
        os.umask(before)

    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_content_is_on_the_disk_before_its_name_and_its_name_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, bytes]] = []
    sync, rename = os.fsync, os.replace

    def recording_sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        events.append((path.name, path.read_bytes() if path.is_file() else b""))
        sync(descriptor)

    def recording_rename(source: Path, target: Path) -> None:
        events.append((f"-> {Path(target).name}", b""))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", recording_sync)
    monkeypatch.setattr(os, "replace", recording_rename)

    write_durably(tmp_path / "file", b"content")

    assert events == [(".file.tmp", b"content"), ("-> file", b""), (tmp_path.name, b"")]


def test_a_reader_sees_the_old_content_or_the_new_while_a_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([letter]) * 200_000 for letter in b"ab"]
    write_durably(path, contents[0])
    for delay in range(20):
        child = os.fork()
        if child == 0:
            while True:
                for content in contents:
                    replace(path, content, durable=False)
        for _ in range(delay * 3 + 1):
            assert path.read_bytes() in contents
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert path.read_bytes() in contents
    write_durably(path, b"whole")

    assert path.read_bytes() == b"whole"
    assert not temporary_name(path).exists()


def test_a_write_that_fails_leaves_the_old_content_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # as a full disk: writing goes wrong in the middle
        try:
            write_durably(path, b"n" * 2000)
        except OSError as error:
            os._exit(0 if error.errno == errno.EFBIG else 2)
        os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_what_an_earlier_crash_left_is_overwritten(tmp_path: Path) -> None:
    temporary_name(tmp_path / "file").write_bytes(b"rubbish" * 1000)

    write_durably(tmp_path / "file", b"new")

    assert (tmp_path / "file").read_bytes() == b"new"
    assert not temporary_name(tmp_path / "file").exists()


def test_a_temporary_name_is_hidden_and_in_the_same_folder() -> None:
    assert temporary_name(Path("jobs/pending/test.json")) == Path("jobs/pending/.test.json.tmp")


def test_every_file_and_folder_of_a_tree_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/deep").write_text("1")
    (tmp_path / "top").write_text("2")
    synced: set[str] = set()
    sync = os.fsync

    def recording(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").resolve()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    sync_tree(tmp_path)

    assert synced == {str(path) for path in (tmp_path, *tmp_path.rglob("*"))}


def test_a_private_folder_is_its_owners_and_may_be_there_already(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert private_folder(tmp_path / "folder") == tmp_path / "folder"
        private_folder(tmp_path / "folder")
    finally:
        os.umask(before)

    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


def test_a_hash_is_sha_256_in_hex(tmp_path: Path) -> None:
    data = b"x" * 3_000_000
    (tmp_path / "file").write_bytes(data)

    assert sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_files_of_a_tree_come_sorted_and_without_folders(tmp_path: Path) -> None:
    for name in ("b/2", "a", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)

    assert [str(path.relative_to(tmp_path)) for path in tree_files(tmp_path)] == ["a", "b/1", "b/2"]


def test_the_hash_of_a_tree_changes_with_every_byte_and_name_and_with_nothing_else(tmp_path: Path) -> None:
    def tree(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in files.items():
            path = folder / name.replace("_", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tree_sha256(folder)

    assert tree(a="1", b_c="2") == tree(b_c="2", a="1")
    editions = {
        tree(a="1"),
        tree(a="2"),
        tree(b="1"),
        tree(a="1", b="1"),
        tree(a_b="1"),
        tree(a="1", b=""),
        tree(ab="1"),
    }
    assert len(editions) == 7
