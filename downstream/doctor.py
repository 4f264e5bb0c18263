"""``downstream doctor``: is everything there that unattended work needs? Part of the entry point: it asks services.

Nothing is spent, published, mailed or changed, and no finding holds the value of a key.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

from downstream.backup.folder import last_backup
from downstream.domain.errors import DownstreamError, Misconfigured, NoRoom, OnHold, PersonDecides
from downstream.domain.money import Money
from downstream.domain.prices import show_dollars
from downstream.domain.state import State
from downstream.guard import check_room
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.overview import door, held, holds, money
from downstream.prices import read_prices
from downstream.settings import Settings, read_environment, read_settings
from downstream.shop import errands, watch
from downstream.shop.orders import MOST_DRAFTS
from downstream.shop.proofs import unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from downstream.domain.prices import Prices
    from downstream.overview import Door
    from downstream.providers.health import Health

Answer = TypeVar("Answer")
Level = Literal["ok", "warn", "FAIL"]

_GIGABYTE = 1_000_000_000
LITTLE_ROOM_BYTES, NO_ROOM_BYTES = 5 * _GIGABYTE, _GIGABYTE
LITTLE_ROOM_INODES, NO_ROOM_INODES = 20_000, 2_000
OLD_PRICES = timedelta(days=90)
OLD_BACKUP = timedelta(days=2)
CLOCK_OFF, CLOCK_WRONG = timedelta(seconds=30), timedelta(seconds=300)
"""Signed addresses and a mail's date bear the first; whole services refuse the second."""
NEARLY_SPENT = 0.8
LEAST_PRICES = {"eur": 50, "usd": 50}
"""Minor units below which Stripe takes no payment: https://docs.stripe.com/currencies"""
MANY_TRIES = 5
"""Of an errand: about a quarter of an hour."""
PATIENCE_SECONDS = 30.0
"""For a command of this machine."""

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*\Z")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and what to do about it (empty where nothing)."""

    level: Level
    name: str
    found: str
    next_step: str = ""

    def __str__(self) -> str:
        """One line."""
        return f"{self.level:<4}  {self.name:<12}  {self.found}" + (f" → {self.next_step}" if self.next_step else "")


def examine(home: Path, environment: Mapping[str, str], now: datetime, *, offline: bool) -> Iterator[Finding]:
    """Every finding, as it is made; ``environment`` is this shell's. With ``offline`` nobody outside is asked."""
    if not (home / "jobs").is_dir():
        yield Finding("FAIL", "installation", f"{home} is none: it has no jobs/", "give --home, or downstream init")
        return
    yield Finding("ok", "installation", str(home.resolve()))
    yield from _rights(home)
    yield _one_file_system(home)
    yield from _room(home)
    yield _heartbeat(home, now)
    try:
        settings = read_settings(read_environment(home, environment))
        prices = read_prices(home)
    except (Misconfigured, OSError, UnicodeDecodeError) as error:
        yield Finding("FAIL", "settings", _sentence(error), "mend it in .env or prices.toml; the rest is not looked at")
        return
    yield Finding("ok", "settings", f"{len(fields(Settings))} are readable")
    yield from _reserve(home, settings)
    yield from _prices(settings, prices, now)
    yield from _keys(settings)
    yield from _books(home, settings, now)
    yield from _shop(home, settings, prices, now)
    yield from _backup(home, settings, now)
    yield from _cron(home, environment, settings)
    yield _zone(environment, settings)
    yield from _claude(settings)
    if offline:
        yield Finding("ok", "services", "not asked: --offline")
    else:
        yield from _services(settings, prices)
        yield from _payment_service(settings)


# --- the machine -------------------------------------------------------------------------------------------------


def _rights(home: Path) -> Iterator[Finding]:
    """Customers' data and keys are their owner's alone."""
    places = [home / name for name in (".env", "jobs", "streams", "logs", *(f"jobs/{state}" for state in State))]
    wrong = False
    for path in places:
        if not path.exists():
            continue
        found, name = path.stat(), path.relative_to(home)
        if found.st_uid != os.geteuid():
            wrong = True
            yield Finding("FAIL", "rights", f"{name} belongs to another user", f"chown -R $(id -un) {path}")
        elif stat.S_IMODE(found.st_mode) & 0o077:
            wrong = True
            mode = "600" if path.is_file() else "700"
            yield Finding("FAIL", "rights", f"others may look into {name}", f"chmod {mode} {path}")
    if not wrong:
        yield Finding("ok", "rights", "folders and .env are their owner's alone")


def _one_file_system(home: Path) -> Finding:
    """A job moves by rename, which only works within one file system."""
    folders = [home / "jobs" / state for state in State]
    probe = f".doctor-{os.getpid()}"
    try:
        if len({path.stat().st_dev for path in [*folders, home / "streams"]}) > 1:
            return Finding("FAIL", "file system", "jobs/* and streams lie on more than one", "put them on one")
        (folders[0] / probe).touch()
        for source, target in pairwise(folders):
            (source / probe).rename(target / probe)
        (folders[-1] / probe).unlink()
    except OSError as error:
        return Finding("FAIL", "file system", f"{error.filename}: {error.strerror}", "mend it; a job cannot move")
    return Finding("ok", "file system", "jobs/* and streams lie on one, and files move in it")


def _room(home: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(home).free
    level = _level(free, LITTLE_ROOM_BYTES, NO_ROOM_BYTES)
    step = "" if level == "ok" else "make room: an order takes some 0.2 GB"
    yield Finding(level, "disk", f"{free / _GIGABYTE:.1f} GB are free", step)
    status = os.statvfs(home)
    if status.f_files:  # some file systems have no fixed number of them
        level = _level(status.f_favail, LITTLE_ROOM_INODES, NO_ROOM_INODES)
        yield Finding(level, "inodes", f"{status.f_favail:,} are free", "" if level == "ok" else "remove small files")


def _reserve(home: Path, settings: Settings) -> Iterator[Finding]:
    """What must be free before anything is begun is free."""
    try:
        check_room(home, settings)
    except NoRoom as error:
        yield Finding("warn", "room", str(error), "make room, or set the reserve lower")


def _level(free: int, little: int, none: int) -> Level:
    if free < none:
        return "FAIL"
    return "warn" if free < little else "ok"


def _heartbeat(home: Path, now: datetime) -> Finding:
    found = read_heartbeat(home, now)
    if found.pulse is Pulse.ACTIVE:
        return Finding("ok", "heartbeat", f"active: {found.why}, good until {found.due}")
    if found.is_sunset:
        return Finding("ok", "heartbeat", found.why)
    if found.pulse is Pulse.CAUTIOUS:
        return Finding("warn", "heartbeat", f"cautious: {found.why}", "downstream heartbeat renew")
    if found.status in {"PAUSED", "STOP"}:
        return Finding("warn", "heartbeat", found.why, "downstream heartbeat resume, when work may go on")
    return Finding("FAIL", "heartbeat", found.why, "downstream heartbeat renew")


def _zone(environment: Mapping[str, str], settings: Settings) -> Finding:
    local = environment.get("TZ", "").lstrip(":") or str(Path("/etc/localtime").resolve()).rpartition("zoneinfo/")[2]
    if settings.timezone == "UTC" and not environment.get("TIMEZONE") and not local.endswith(("UTC", "GMT", "Zulu")):
        return Finding("warn", "time zone", "the machine's is not known, so UTC is used", "set TIMEZONE in .env")
    return Finding("ok", "time zone", settings.timezone)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error) if isinstance(error, DownstreamError) else ".env is not UTF-8"


# --- money and keys ----------------------------------------------------------------------------------------------


def _prices(settings: Settings, prices: Prices, now: datetime) -> Iterator[Finding]:
    age = now.date() - prices.as_of
    found = f"the table is of {prices.as_of}, {age.days} days old"
    if age > OLD_PRICES:
        yield Finding("warn", "prices", found, "compare it with the services' price pages; see prices.toml")
    else:
        yield Finding("ok", "prices", found)
    try:
        for model in _gemini_models(settings, prices):
            prices.tokens_of(model)
        prices.clip_micros(prices.models.clips, settings.clip_resolution, 6 if settings.clip_seconds <= 6 else 10)
    except Misconfigured as error:
        yield Finding("FAIL", "prices", str(error), "mend prices.toml")


def _keys(settings: Settings) -> Iterator[Finding]:
    if settings.missing_keys:
        missing = ", ".join(settings.missing_keys)
        yield Finding("warn", "keys", f"not set: {missing}", "set them in .env; until then paid orders wait")
    else:
        yield Finding("ok", "keys", "all four are set")
    if settings.smtp_url and settings.mail_from == Settings().mail_from:
        yield Finding("warn", "mail", "MAIL_FROM is not set", "set an address on a domain of yours")
    if not settings.operator_email:
        yield Finding("warn", "mail", "OPERATOR_EMAIL is not set", "set it, or only cron's mail tells of trouble")


def _books(home: Path, settings: Settings, now: datetime) -> Iterator[Finding]:
    for service, until in holds(home).items():
        yield Finding("warn", "on hold", f"{service} until {until:%Y-%m-%d %H:%M} UTC", "see logs for the reason")
    try:
        spent = money(home, settings, now)
    except Misconfigured as error:
        yield Finding("FAIL", "ledger", str(error), "until then nothing is bought")
        return
    for period, micros, cap in (
        ("today", spent.today_micros, spent.cap_per_day_micros),
        ("this month", spent.month_micros, spent.cap_per_month_micros),
    ):
        is_near = micros >= NEARLY_SPENT * cap
        found = f"{show_dollars(micros)} of {show_dollars(cap)} spent {period}"
        step = f"CAP_PER_{'DAY' if period == 'today' else 'MONTH'}_CENTS: what goes beyond it waits" if is_near else ""
        yield Finding("warn" if is_near else "ok", "ledger", found, step)


# --- the shop ----------------------------------------------------------------------------------------------------


def _shop(home: Path, settings: Settings, prices: Prices, now: datetime) -> Iterator[Finding]:
    """The door and what waits behind it; a shop without Stripe's secrets is a demo, and well so."""
    found = door(home, settings, read_heartbeat(home, now))
    if not settings.stripe_api_key and not settings.stripe_webhook_secret:
        yield Finding("ok", "shop", f"a demo: nobody pays (STRIPE_API_KEY is not set); {found.drafts} draft(s)")
    else:
        yield from _secrets(settings)
        yield _watcher(settings)
        yield from _price(settings, prices)
        yield _drafts(found)
        yield from _compared(home)
    yield from _waiting(home, found, now)


def _secrets(settings: Settings) -> Iterator[Finding]:
    for name, value in (
        ("STRIPE_API_KEY", settings.stripe_api_key),
        ("STRIPE_WEBHOOK_SECRET", settings.stripe_webhook_secret),
    ):
        if not value:
            yield Finding("FAIL", "stripe", f"{name} is not set, and the other secret is", "set both, or neither")
    secret = settings.stripe_webhook_secret
    if secret and not secret.reveal().startswith("whsec_"):
        step = "copy the signing secret of the webhook endpoint, at Stripe"
        yield Finding("FAIL", "stripe", "STRIPE_WEBHOOK_SECRET does not begin with whsec_", step)
    if "_live_" in settings.stripe_api_key.reveal() and not _is_public(settings.public_url):
        found = f"real money is taken, and PUBLIC_URL is {settings.public_url}"
        yield Finding("FAIL", "shop", found, "set PUBLIC_URL to the https:// address customers come to")


def _watcher(settings: Settings) -> Finding:
    """Somebody elsewhere notices when this machine falls silent."""
    if settings.healthcheck_url:
        return Finding("ok", "watcher", "HEALTHCHECK_URL is set")
    step = "set it to a check's address, as of healthchecks.io"
    return Finding("warn", "watcher", "HEALTHCHECK_URL is not set: nobody notices when this machine dies", step)


def _is_public(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}


def _price(settings: Settings, prices: Prices) -> Iterator[Finding]:
    price, least = settings.price, LEAST_PRICES.get(settings.currency, 1)
    if 0 < price.amount_minor < least:
        found = f"an order costs {price}, and Stripe takes nothing below {Money(price.currency, least)}"
        yield Finding("FAIL", "shop", found, "set PRICE_CENTS higher, or to 0")
    try:
        most_micros = prices.in_micros(price) * settings.cap_per_job_percent // 100
    except OnHold as error:
        yield Finding("FAIL", "shop", str(error), "mend prices.toml; until then orders wait")
    else:
        found = f"an order costs {price}; at most {show_dollars(most_micros)} may be spent on it"
        yield Finding("ok", "shop", found)


def _drafts(found: Door) -> Finding:
    much = f"{found.state}, {found.drafts} draft(s)"
    if found.drafts > NEARLY_SPENT * MOST_DRAFTS:
        return Finding("warn", "shop", f"{much} of at most {MOST_DRAFTS}", "is somebody filling the form by program?")
    return Finding("ok", "shop", much)


def _compared(home: Path) -> Iterator[Finding]:
    """Payments are compared with the jobs here, once a payment page was opened."""
    if not watch.is_watched(home):
        return
    if watch.is_worrying(home):
        step = "downstream reconcile says why; downstream process does it by itself"
        yield Finding("warn", "shop", "payments were not compared with the jobs here for an hour", step)
    else:
        yield Finding("ok", "shop", "payments were compared with the jobs here within the hour")


def _waiting(home: Path, found: Door, now: datetime) -> Iterator[Finding]:
    """Letters and refunds, held orders, and orders that are half forgotten."""
    for errand in found.errands_given_up:
        yield Finding("warn", "errands", f"given up: {errand}", "see logs/shop.log for the reason")
    waiting = list(errands.due(home, now + errands.LONGEST_WAIT))  # none is put off for longer
    often = max(waiting, key=lambda one: one.tries, default=None)
    if often is not None and often.tries >= MANY_TRIES:
        told = f"{often.stream_id} {often.kind} was tried {often.tries} times; {len(waiting)} wait"
        yield Finding("warn", "errands", told, "see logs/shop.log for the reason")
    for stream_id, reason in held(home).items():
        yield Finding("warn", "held", f"{stream_id}: {reason}", f"downstream release {stream_id}")
    try:
        for stream_id in unfinished(home):
            yield Finding("warn", "forget", f"{stream_id} is forgotten by half", f"downstream forget {stream_id}")
    except PersonDecides as error:
        yield Finding("warn", "forget", str(error), "mend it")


def _backup(home: Path, settings: Settings, now: datetime) -> Iterator[Finding]:
    """Where customers pay, orders are copied to another place every day."""
    last, step = last_backup(home), "downstream backup DIR, also as the line in crontab.txt"
    if last is not None and now - last <= OLD_BACKUP:
        yield Finding("ok", "backup", f"the last one is of {last:%Y-%m-%d %H:%M} UTC")
    elif settings.stripe_api_key:
        found = f"the last one is of {last:%Y-%m-%d %H:%M} UTC" if last else "none was ever made"
        yield Finding("warn", "backup", found, step)


# --- cron --------------------------------------------------------------------------------------------------------


def _cron(home: Path, environment: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """What cron starts finds the same program, settings and commands as this shell."""
    try:
        lines = (home / "crontab.txt").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        yield Finding("warn", "cron", "crontab.txt cannot be read", "downstream init writes a new one")
        return
    given = {match[1]: match[2].strip("\"'") for match in map(_ASSIGNMENT.match, lines) if match}
    # What cron itself sets (crontab(5)); nothing of a login shell is there.
    alone = {"HOME": environment.get("HOME", "/"), "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", **given}
    if Path(given.get("DOWNSTREAM_HOME", home)).resolve() != home.resolve():
        yield Finding("FAIL", "cron", "crontab.txt works on another installation", "mend its DOWNSTREAM_HOME")
    yield _started_by_cron(lines, alone)
    yield from _settings_of_cron(home, alone, settings)
    yield _installed(lines)


def _started_by_cron(lines: list[str], alone: Mapping[str, str]) -> Finding:
    command = next((line.split(None, 5)[5] for line in lines if re.match(r"[\d*].* process\b", line)), "")
    if not command:
        return Finding("warn", "cron", "crontab.txt has no line for process", "downstream init writes a whole one")
    program = re.split(r" process\b", command)[0]
    ended = _run(["/bin/sh", "-c", f"{program} --version"], alone)
    if ended is None or ended.returncode:
        return Finding("FAIL", "cron", f"cron cannot start {program}", "give its full path in crontab.txt")
    return Finding("ok", "cron", f"cron can start {program}")


def _settings_of_cron(home: Path, alone: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    try:
        there = read_settings(read_environment(home, alone))
    except Misconfigured as error:
        yield Finding("FAIL", "cron", f"under cron: {error}", "mend it in .env or crontab.txt")
        return
    other = [each.name for each in fields(Settings) if getattr(there, each.name) != getattr(settings, each.name)]
    if other:
        names = ", ".join(name.upper() for name in other)
        yield Finding("warn", "cron", f"set in this shell, but cron does not see it: {names}", "put it into .env")
    if there.director == "claude" and shutil.which(there.claude_command, path=alone["PATH"]) is None:
        found = f"cron does not find the command {there.claude_command}"
        yield Finding("FAIL", "cron", found, "give its full path as CLAUDE_COMMAND in .env")


def _installed(lines: list[str]) -> Finding:
    """The user's crontab has the lines of ``crontab.txt``."""
    if shutil.which("crontab") is None:
        return Finding(
            "warn",
            "cron",
            "this machine has no crontab command",
            "install cron, or have the five stages started some other way",
        )
    ended = _run(["crontab", "-l"], os.environ)
    has = {" ".join(line.split()) for line in ended.stdout.splitlines()} if ended else set()
    missing = [line for line in lines if line[:1] in "*0123456789" and line and " ".join(line.split()) not in has]
    if missing:
        return Finding(
            "warn", "cron", f"{len(missing)} line(s) of crontab.txt are not installed", "crontab crontab.txt"
        )
    return Finding("ok", "cron", "the lines of crontab.txt are installed")


def _run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str] | None:
    """How a command of this machine ended; None when it did not start or end."""
    try:
        return subprocess.run(  # noqa: S603 - the operator's own commands
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


# --- outside services --------------------------------------------------------------------------------------------


def _claude(settings: Settings) -> Iterator[Finding]:
    if settings.director != "claude":
        return
    ended = _run([settings.claude_command, "--version"], os.environ)
    if ended is None or ended.returncode:
        found = f"DIRECTOR=claude, and {settings.claude_command} --version does not work"
        yield Finding("FAIL", "claude", found, "install it, or set CLAUDE_COMMAND or DIRECTOR")
    else:
        yield Finding("ok", "claude", ended.stdout.strip()[:60] or "the command is there")


def _services(settings: Settings, prices: Prices) -> Iterator[Finding]:
    """Every service whose key is set takes it; their clocks and ours agree."""
    clocks: list[timedelta] = []
    for name, ask in _questions(settings, prices):
        health = ask()
        if health.at is not None:
            clocks.append(datetime.now(UTC) - health.at)
        yield Finding(health.level, name, health.found, health.next_step)
    if settings.smtp_url:
        yield _mail_login(settings)
    if clocks:
        yield _clock(clocks[0])


def _payment_service(settings: Settings) -> Iterator[Finding]:
    """Stripe takes the key, and customers find the shop."""
    from downstream.providers.health import check_door

    if settings.stripe_api_key:
        yield _stripe(settings)
        health = check_door(settings.public_url)
        yield Finding(health.level, "shop", health.found, health.next_step)


def _stripe(settings: Settings) -> Finding:
    from downstream.providers.stripe import StripePayments

    secrets = settings.stripe_api_key.reveal(), settings.stripe_base_url, settings.stripe_webhook_secret.reveal()
    try:
        mode = StripePayments(*secrets, _AtOnce()).check()
    except Misconfigured as error:
        return Finding("FAIL", "stripe", str(error), "set a valid STRIPE_API_KEY")
    except DownstreamError as error:
        return Finding("warn", "stripe", str(error), "ask again later")
    return Finding("ok", "stripe", f"the key is taken: {mode}")


class _AtOnce:
    """A gate that leaves nothing behind: one question needs no pace."""

    def run(self, send: Callable[[], Answer], *, creates: bool = True) -> Answer:  # noqa: ARG002
        """The answer."""
        return send()


def _questions(settings: Settings, prices: Prices) -> Iterator[tuple[str, Callable[[], Health]]]:
    from downstream.providers.health import check_gemini, check_replicate, check_vercel

    if key := settings.google_ai_api_key.reveal():
        for model in _gemini_models(settings, prices):
            address = settings.google_gemini_base_url, settings.google_api_version
            yield "gemini", partial(check_gemini, key, *address, model)
    if token := settings.replicate_api_token.reveal():
        yield "replicate", partial(check_replicate, token, settings.replicate_base_url)
    if token := settings.vercel_token.reveal():
        yield "vercel", partial(check_vercel, token, settings.vercel_team_id, settings.vercel_base_url)


def _gemini_models(settings: Settings, prices: Prices) -> list[str]:
    models = prices.models
    texts = [models.planner, models.screener] if settings.director == "gemini" else []
    return list(dict.fromkeys([*texts, models.judge, models.keyframes]))


def _mail_login(settings: Settings) -> Finding:
    from downstream.providers.smtp import check_login

    try:
        check_login(settings.smtp_url.reveal())
    except DownstreamError as error:
        return Finding("FAIL", "smtp", str(error), "mend SMTP_URL; some hosts of servers block ports 25 and 465")
    return Finding("ok", "smtp", "the server takes the login; nothing was sent")


def _clock(ahead: timedelta) -> Finding:
    """By how much this machine's clock is ahead of a service's."""
    off = abs(ahead)
    found = f"{off.total_seconds():.0f} seconds {'ahead of' if ahead > timedelta() else 'behind'} a service's"
    if off <= CLOCK_OFF:
        return Finding("ok", "clock", f"within {CLOCK_OFF.total_seconds():.0f} seconds of a service's")
    return Finding("FAIL" if off > CLOCK_WRONG else "warn", "clock", found, "timedatectl set-ntp true")
