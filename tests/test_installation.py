"""An installation: laid out once, private, and recognised."""

from __future__ import annotations

import os
import shutil
from datetime import date
from typing import TYPE_CHECKING

import pytest

from downstream.domain.errors import Misconfigured
from downstream.domain.state import State
from downstream.heartbeat import DEFAULT_RENEW_DAYS, read_heartbeat
from downstream.installation import crontab, lay_out, require_installation

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 1, 6)


def folders(home: Path) -> set[str]:
    """Every folder below ``home``."""
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_dir()}


def test_a_new_installation_has_all_folders_a_heartbeat_and_a_crontab(tmp_path: Path) -> None:
    home = tmp_path / "new/one"

    lay_out(home, today=TODAY, program="/usr/bin/downstream")

    states = {f"jobs/{state}" for state in State}
    assert folders(home) == {"jobs", "streams", "logs", "logs/reviews", "triggers", *states}
    text = (home / "HEARTBEAT.md").read_text()
    assert "Status: ACTIVE" in text
    assert f"Renewed: {TODAY}" in text
    assert f"Renew every: {DEFAULT_RENEW_DAYS} days" in text
    assert (home / "crontab.txt").read_text() == crontab(str(home), "/usr/bin/downstream")
    assert f"DOWNSTREAM_HOME={home}\n" in (home / "crontab.txt").read_text()
    require_installation(home)


def test_root_leaves_no_files_where_another_user_must_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, today=TODAY, program="x")
    if os.getuid() == 0:
        os.chown(tmp_path / "jobs", 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    with pytest.raises(Misconfigured, match="sudo downstream"):
        require_installation(tmp_path)


def test_laying_out_again_leaves_everything_as_it_is(tmp_path: Path) -> None:
    lay_out(tmp_path, today=TODAY, program="x")
    (tmp_path / "HEARTBEAT.md").write_text("Status: PAUSED")
    (tmp_path / "crontab.txt").write_text("mine")
    (tmp_path / "jobs/pending/test.json").write_text("{}")

    lay_out(tmp_path, today=date(2026, 2, 1), program="y")

    assert (tmp_path / "HEARTBEAT.md").read_text() == "Status: PAUSED"
    assert (tmp_path / "crontab.txt").read_text() == "mine"
    assert (tmp_path / "jobs/pending/test.json").read_text() == "{}"


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_customer_data_is_the_owners_alone_whatever_the_mask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        lay_out(tmp_path / "home", today=TODAY, program="x")
    finally:
        os.umask(before)

    for name in ("jobs", "streams", "logs", "logs/reviews", *(f"jobs/{state}" for state in State)):
        assert (tmp_path / "home" / name).stat().st_mode & 0o777 == 0o700, name


def test_folders_that_others_could_read_are_closed(tmp_path: Path) -> None:
    lay_out(tmp_path, today=TODAY, program="x")
    for name in ("jobs", "streams", "logs"):
        (tmp_path / name).chmod(0o755)

    require_installation(tmp_path)

    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("jobs", "streams", "logs")} == {0o700}


def test_missing_folders_are_made_again(tmp_path: Path) -> None:
    lay_out(tmp_path, today=TODAY, program="x")
    for name in ("jobs/review", "streams", "logs"):
        shutil.rmtree(tmp_path / name)

    require_installation(tmp_path)

    assert {"jobs/review", "streams", "logs"} <= folders(tmp_path)


def test_any_other_folder_is_no_installation_and_stays_untouched(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is not an installation"):
        require_installation(tmp_path)
    with pytest.raises(Misconfigured, match="is not an installation"):
        require_installation(tmp_path / "nowhere")

    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_folders_place_is_told_by_its_path(tmp_path: Path) -> None:
    lay_out(tmp_path, today=TODAY, program="x")
    (tmp_path / "streams").rmdir()
    (tmp_path / "streams").write_text("")

    with pytest.raises(Misconfigured, match="streams: File exists"):
        require_installation(tmp_path)


def test_a_heartbeat_that_was_removed_is_not_brought_back_by_a_command(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    lay_out(tmp_path, today=TODAY, program="x")
    (tmp_path / "HEARTBEAT.md").unlink()

    require_installation(tmp_path)

    assert read_heartbeat(tmp_path, datetime(2026, 1, 6, tzinfo=UTC)).pulse == "paused"
