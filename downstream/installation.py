"""The installation: the root folder everything lies below, and how a new one is laid out."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from downstream.domain.errors import Misconfigured
from downstream.files import PRIVATE_FOLDER, private_folder, write_durably
from downstream.heartbeat import DEFAULT_RENEW_DAYS, write_heartbeat
from downstream.queue import STATES

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

_PRIVATE = ("jobs", "streams", "logs")

_CRONTAB = """\
# What starts work. The commands protect themselves: overlapping and repeated runs are harmless.
# Cron mails what they print, and they print only what a person must read.
DOWNSTREAM_HOME={home}

*/5  *  * * *  {program} process
*/15 *  * * *  {program} review
0    23 * * *  {program} daily
0    20 * * 0  {program} weekly
0    10 1 * *  {program} monthly
"""


def crontab(home: str, program: str) -> str:
    """The lines that start all five stages of an installation at ``home``."""
    return _CRONTAB.format(home=home, program=program)


def lay_out(home: Path, *, today: date, program: str) -> None:
    """``home`` is an installation; what was there already is left as it is."""
    for name in ("triggers", *_PRIVATE, *(f"jobs/{state}" for state in STATES), "logs/reviews"):
        private_folder(home / name)
    if not (home / "HEARTBEAT.md").exists():
        write_heartbeat(home, status="ACTIVE", renewed=today, renew_days=DEFAULT_RENEW_DAYS)
    if not (home / "crontab.txt").exists():
        write_durably(home / "crontab.txt", crontab(str(home.resolve()), program).encode())


def require_installation(home: Path) -> None:
    """``home`` is an installation whose customer data only its owner can read.

    Raises:
        Misconfigured: it is none, or its folders cannot be made private.
    """
    if not (home / "jobs").is_dir():
        raise Misconfigured(
            f"{home} is not an installation (no jobs/): give --home, or lay one out with downstream init"
        )
    try:
        for state in STATES:
            if not (home / "jobs" / state).is_dir():
                private_folder(home / "jobs" / state)
        for name in _PRIVATE:
            folder = private_folder(home / name)
            if stat.S_IMODE(folder.stat().st_mode) & 0o077:
                folder.chmod(PRIVATE_FOLDER)
    except OSError as error:
        raise Misconfigured(f"{error.filename}: {error.strerror}") from None
