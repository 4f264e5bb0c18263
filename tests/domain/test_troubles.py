"""The machine's troubles are told from a film, a picture or a story that is broken."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

import av
import pytest
from disks import disk_of, no_more_files

from downstream.domain.job import Job
from downstream.domain.troubles import is_machine_trouble, is_no_fault_of_a_film
from downstream.machine import machine_trouble
from downstream.steps import quality
from downstream.steps.story import read_story

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EROFS, "read-only"),
        OSError(errno.EMFILE, "files"),
        MemoryError(),
        RuntimeError("can't start new thread"),
        ImportError("half an upgrade", name="av"),
    ],
)
def test_what_the_machine_lacks_says_nothing_about_the_work(error: Exception) -> None:
    assert is_machine_trouble(error)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "gone"), OSError("broken picture"), RuntimeError("else"), ValueError()]
)
def test_other_faults_are_not_the_machines(error: Exception) -> None:
    assert not is_machine_trouble(error)


def test_python_still_says_so_when_it_can_start_no_thread() -> None:
    threading.stack_size(2**46)
    try:
        with pytest.raises((RuntimeError, ValueError)) as found:
            threading.Thread(target=int).start()
    finally:
        threading.stack_size(0)

    assert is_machine_trouble(found.value)


def test_a_broken_film_is_not_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\xff" * 4000)
    with pytest.raises(av.FFmpegError) as found:
        av.open(str(tmp_path / "film.mp4"))

    assert not is_no_fault_of_a_film(found.value)
    assert not is_no_fault_of_a_film(av.error.MemoryError(errno.ENOMEM, "said of absurd sizes, too"))


def test_without_descriptors_no_film_is_found_broken(tmp_path: Path) -> None:
    (tmp_path / "av1.mp4").write_bytes(b"a film")

    with no_more_files(), pytest.raises(OSError, match="Too many open files"):
        quality._check_encodings(tmp_path, 12)


def test_without_descriptors_no_story_is_given_up(home: Path) -> None:
    folder = home / "streams" / "test"
    folder.mkdir()
    (folder / "input.json").write_text("{}")
    job = Job(stream_id="test", customer_email="test@test.com")
    with no_more_files(), pytest.raises(OSError, match="Too many open files"):
        read_story(home, job)


def test_the_operator_reads_where_it_is_full_how_much_is_free_and_what_to_do(tmp_path: Path) -> None:
    with disk_of(tmp_path / "disk", 3) as disk:
        missing = disk / "not" / "there.json"
        said = str(machine_trouble(OSError(errno.ENOSPC, "full", str(missing)), tmp_path))

    assert said.startswith(f"the machine is in trouble: No space left on device ({missing}, on {disk}, where 3 MB and ")
    assert "remove what is not needed, or enlarge the disk" in said


def test_without_a_files_name_the_installations_disk_is_meant(tmp_path: Path) -> None:
    assert f"({tmp_path}, on /" in str(machine_trouble(OSError(errno.ENOSPC, "full"), tmp_path))
