"""A disk that can lose its power: an ext4 file system in a file, of which only what had reached the file stays.

Mounted so that nothing is written earlier than asked for: the journal is not committed by the clock, and a rename does
not push the data out by itself. What a program wants to keep it has to sync.
"""

from __future__ import annotations

import filecmp
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from disks import as_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MEGABYTES = 192
_LAZY = "loop,commit=300,noauto_da_alloc"
_REPAIRED = (0, 1)
"""How ``e2fsck`` ends on a file system that is sound, or was made so by its journal."""


class Disk:
    """The file system in ``image``, mounted at ``folder``."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.folder = folder
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(MEGABYTES * 1024 * 1024)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", f"root_owner={os.getuid()}:{os.getgid()}", image], check=True)

    def mount(self) -> None:
        """What is in the image can be used."""
        as_root("mount", "-o", _LAZY, str(self.image), str(self.folder))

    def unmount(self) -> None:
        """Everything is in the image."""
        as_root("umount", str(self.folder))

    def cut(self, running: Sequence[subprocess.Popen[bytes]]) -> None:
        """The power failed while those processes ran, and is back: they are gone, and so is what had not been synced.

        They are stopped first, and the image is copied until two copies are the same: nobody wrote in between, so the
        copy is what was on the disk at one instant.
        """
        for process in running:
            process.send_signal(signal.SIGSTOP)
        for process in running:
            _wait_for_stop(process)
        copy = self._copy_of_one_instant()
        for process in running:
            process.kill()
            process.wait()
        self.unmount()
        copy.replace(self.image)
        checked = subprocess.run(["e2fsck", "-fp", self.image], capture_output=True, text=True, check=False)
        assert checked.returncode in _REPAIRED, checked.stdout
        self.mount()

    def _copy_of_one_instant(self) -> Path:
        copies = [self.image.with_suffix(".one"), self.image.with_suffix(".two")]
        while True:
            for copy in copies:
                subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
            if filecmp.cmp(*copies, shallow=False):
                return copies[0]


@contextmanager
def disk_with_power(folder: Path) -> Iterator[Disk]:
    """A mounted disk below ``folder``."""
    disk = Disk(folder / "disk.img", folder / "disk")
    disk.mount()
    try:
        yield disk
    finally:
        as_root("umount", "--lazy", str(disk.folder))


def _wait_for_stop(process: subprocess.Popen[bytes]) -> None:
    """No thread of it runs any more, or it has ended."""
    while process.poll() is None:
        states = {
            path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{process.pid}/task").glob("*/stat")
        }
        if states <= {"T", "Z", "X"}:
            return
        time.sleep(0.002)
