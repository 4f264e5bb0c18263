"""The disk fills up in the middle of a step: nothing is lost, and it goes on by itself when there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from downstream.installation import lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parent.parent))
from conftest import environment


def as_root(*command: str) -> None:
    """Only root may mount."""
    subprocess.run([*([] if os.geteuid() == 0 else ["sudo", "-n"]), *command], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", f"size=2m,uid={os.getuid()},mode=700", "tmpfs", str(disk))
    try:
        yield disk
    finally:
        as_root("umount", str(disk))


def resize(disk: Path, size: str) -> None:
    """Makes the file system larger or smaller."""
    as_root("mount", "-o", f"remount,size={size}", str(disk))


def test_a_full_disk_stops_the_run_with_its_reason_and_the_order_goes_on_later(small_disk: Path) -> None:
    home = small_disk / "home"
    lay_out(home, today=datetime.now(UTC).date(), program="downstream")
    (home / "jobs/pending/test.json").write_text('{"stream_id": "test", "customer_email": "test@test.com"}')
    command = [sys.executable, "-m", "downstream", "--home", str(home), "process"]
    ballast = small_disk / "ballast"
    endings = []
    # From full to the brim to nearly enough: the disk fills up at a later step each time.
    for free_kilobytes in (0, 8, 40, 120, 250, 400):
        ballast.write_bytes(b"")
        taken = int(
            subprocess.run(["du", "-sk", str(home)], capture_output=True, text=True, check=True).stdout.split()[0]
        )
        ballast_bytes = max(0, (2048 - taken - free_kilobytes - 16) * 1024)
        with suppress(OSError):  # as much of it as fits
            ballast.write_bytes(b"\1" * ballast_bytes)
        ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
        endings.append(ended.returncode)
        if ended.returncode == 0:
            break
        assert ended.returncode == 6
        assert "No space left" in ended.stderr
        found = list((home / "jobs").glob("*/test.json"))
        assert [path.parent.name for path in found] in (["pending"], ["processing"])
        assert json.loads(found[0].read_bytes())["customer_email"] == "test@test.com"
    assert endings[0] == 6
    ballast.unlink()
    resize(small_disk, "64m")

    assert subprocess.run(command, env=environment(), timeout=120, check=False).returncode in {0, 3}

    assert [path.parent.name for path in (home / "jobs").glob("*/test.json")] == ["review"]
