"""The disk fills up in the middle of a step: nothing is lost, and it goes on by itself when there is room."""

from __future__ import annotations

import json
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
from disks import disk_of, resize


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of two megabytes."""
    with disk_of(tmp_path / "disk", 2) as disk:
        yield disk


def test_a_full_disk_stops_the_run_with_its_reason_and_the_order_goes_on_later(small_disk: Path) -> None:
    home = small_disk / "home"
    lay_out(home, today=datetime.now(UTC).date(), program="downstream")
    (home / "jobs/pending/test.json").write_text('{"stream_id": "test", "customer_email": "test@test.com"}')
    command = [sys.executable, "-m", "downstream", "--home", str(home), "process"]
    ballast = small_disk / "ballast"
    endings, said = [], []
    # From full to the brim to nearly enough: the disk fills up at a later step each time.
    for free_kilobytes in (0, 8, 40, 120, 250, 400):
        ballast.write_bytes(b"")
        taken = int(
            subprocess.run(["du", "-sk", str(home)], capture_output=True, text=True, check=True).stdout.split()[0]
        )
        ballast_bytes = max(0, (2048 - taken - free_kilobytes - 16) * 1024)
        with suppress(OSError):  # as much of it as fits
            ballast.write_bytes(b"\1" * ballast_bytes)
        settings = environment(DISK_RESERVE_MB="0")
        ended = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)
        endings.append(ended.returncode)
        if ended.returncode == 0:
            break
        assert ended.returncode == 6
        # A person is told of it once, and not again at every tick.
        assert "No space left" in ended.stderr or (any(said) and ended.stderr == "")
        said.append("No space left" in ended.stderr)
        found = list((home / "jobs").glob("*/test.json"))
        assert [path.parent.name for path in found] in (["pending"], ["processing"])
        assert json.loads(found[0].read_bytes())["customer_email"] == "test@test.com"
    assert endings[0] == 6
    assert said[0]
    ballast.unlink()
    resize(small_disk, "64m")

    assert subprocess.run(command, env=environment(DISK_RESERVE_MB="0"), timeout=120, check=False).returncode in {0, 3}

    assert [path.parent.name for path in (home / "jobs").glob("*/test.json")] == ["review"]
