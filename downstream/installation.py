"""The installation: the root folder everything lies below, and how a new one is laid out."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from typing import TYPE_CHECKING

from downstream.domain.errors import Misconfigured
from downstream.domain.state import State
from downstream.files import PRIVATE_FOLDER, private_folder, write_durably
from downstream.heartbeat import DEFAULT_RENEW_DAYS, write_heartbeat

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

# Every night a backup, once there is a place for it on another disk (or restic): take the # away.
#30  3  * * *  {program} backup /path/to/another/disk
"""

ENVIRONMENT = """\
# Copy to .env, fill in and keep it to yourself (chmod 600). What stays commented out has the default shown.
# downstream doctor checks all of it; prices and models are in prices.toml.

# --- What paid orders need. Until all four are set they wait in jobs/pending.
#GOOGLE_AI_API_KEY=
#REPLICATE_API_TOKEN=
#VERCEL_TOKEN=
# smtps://user:password@host:465 or smtp://user:password@host:587 (STARTTLS); %40 for an @ in the user or password
#SMTP_URL=

# --- Who writes to customers, and who hears of trouble
#MAIL_FROM=DownStream <stories@localhost>
#OPERATOR_EMAIL=
# A watcher elsewhere that raises the alarm when this machine falls silent, such as healthchecks.io: the address of a
# check that expects a ping every 15 minutes and is patient for an hour
#HEALTHCHECK_URL=

# --- The shop (downstream serve). Without a Stripe key it is a demo: nobody pays, and the embedded providers work
#STRIPE_API_KEY=
#STRIPE_WEBHOOK_SECRET=
# In the currency's smallest unit
#PRICE_CENTS=4900
#CURRENCY=eur
# Where customers find the shop, http://127.0.0.1:8000 unless set; links in letters begin with it
#PUBLIC_URL=
# Pages of yours about who sells, on what terms, and what becomes of customers' data; linked from the shop and from the
# letter that confirms an order
#IMPRINT_URL=
#TERMS_URL=
#PRIVACY_URL=

# --- How long downstream tidy keeps what failed and nobody paid for, or was refunded; 0 keeps it
#KEEP_FAILED_DAYS=90

# --- For downstream backup restic; what its storage wants, such as AWS_ACCESS_KEY_ID, may stand here, too
#RESTIC_REPOSITORY=
#RESTIC_PASSWORD=

# --- Needed with a team's Vercel token
#VERCEL_TEAM_ID=

# --- Who decides on finished pages: auto (the checks) or operator (you)
#REVIEW_POLICY=auto
# Who plans: gemini, or claude (the command line, which needs a login or a key of its own)
#DIRECTOR=gemini
#ANTHROPIC_API_KEY=
#CLIP_RESOLUTION=768p
# Days, weeks and months begin by this clock; the machine's own unless set
#TIMEZONE=

# --- The most that may be spent; what would go beyond it waits and you hear of it
#CAP_PER_JOB_PERCENT=40
#CAP_PER_UNPAID_JOB_CENTS=500
#CAP_PER_CALL_CENTS=100
#CAP_PER_DAY_CENTS=10000
#CAP_PER_MONTH_CENTS=100000
#REGENERATIONS_PER_SEGMENT=2
#REGENERATIONS_PER_ORDER=4

# --- How much is done at once
#JOBS_AT_ONCE=4
#SEGMENTS_AT_ONCE=
# Megabytes of disk and of memory that must be free before anything is begun or a new order taken; 0 does not look
#DISK_RESERVE_MB=1000
#MEMORY_RESERVE_MB=300
"""
"""Every key and the settings used most, as ``.env.example``."""


def crontab(home: str, program: str) -> str:
    """The lines that start all five stages of an installation at ``home``."""
    return _CRONTAB.format(home=home, program=program)


def lay_out(home: Path, *, today: date, program: str) -> None:
    """``home`` is an installation; what was there already is left as it is."""
    for name in ("triggers", *_PRIVATE, *(f"jobs/{state}" for state in State), "logs/reviews"):
        private_folder(home / name)
    if not (home / "HEARTBEAT.md").exists():
        write_heartbeat(home, status="ACTIVE", renewed=today, renew_days=DEFAULT_RENEW_DAYS)
    if not (home / "crontab.txt").exists():
        write_durably(home / "crontab.txt", crontab(str(home.resolve()), program).encode())
    if not (home / ".env.example").exists():
        write_durably(home / ".env.example", ENVIRONMENT.encode())


def require_installation(home: Path) -> None:
    """``home`` is an installation whose customer data only its owner can read, and what we write will be its owner's.

    Raises:
        Misconfigured: it is none, its folders cannot be made private, or we are root and it is somebody else's.
    """
    if not (home / "jobs").is_dir():
        raise Misconfigured(
            f"{home} is not an installation (no jobs/): give --home, or lay one out with downstream init"
        )
    owner = (home / "jobs").stat().st_uid
    if os.geteuid() == 0 and owner != 0:  # cron's commands could not read what root leaves behind
        raise Misconfigured(
            f"{home} belongs to {_name(owner)}, who could not read what root writes there: use sudo downstream ..., or "
            f"runuser -u {_name(owner)} -- {sys.argv[0]} ..."
        )
    try:
        for state in State:
            if not (home / "jobs" / state).is_dir():
                private_folder(home / "jobs" / state)
        for name in _PRIVATE:
            folder = private_folder(home / name)
            if stat.S_IMODE(folder.stat().st_mode) & 0o077:
                folder.chmod(PRIVATE_FOLDER)
    except OSError as error:
        raise Misconfigured(f"{error.filename}: {error.strerror}") from None


def _name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)
