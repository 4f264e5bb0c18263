"""``downstream doctor``: every finding says what was found and what to do, and no key is in any of them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import environment
from fakes.claude_command import FakeClaude
from fakes.http_server import Answer, HttpServer
from fakes.service import FOR_EVER, Fault
from fakes.services import Services
from fakes.smtp import MailFault
from fakes.stripe import FakeStripe

from downstream import settings
from downstream.doctor import examine, machine
from downstream.doctor import services as outside
from downstream.domain.forgotten import Proof
from downstream.domain.order import Typed
from downstream.heartbeat import write_heartbeat
from downstream.holds import DISPUTED, REFUNDED, Hold, hold
from downstream.installation import crontab, lay_out
from downstream.ledger import Caps, Ledger
from downstream.providers import health
from downstream.settings import KEYS
from downstream.shop import errands, watch
from downstream.shop.errands import Errand
from downstream.shop.orders import Orders
from downstream.shop.proofs import save_proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from downstream.doctor.finding import Finding

ZONES = Path("/usr/share/zoneinfo")
PROGRAM = f"{sys.executable} -m downstream"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation whose crontab starts the program under test."""
    folder = tmp_path / "home"
    lay_out(folder, today=datetime.now(UTC).date(), program=PROGRAM)
    return folder


@pytest.fixture
def well(home: Path, services: Services, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """This shell's environment where all is well: everything that is set stands in .env, too."""
    monkeypatch.setattr(settings, "LOCALTIME", ZONES / "Europe/Budapest")
    shell = environment()
    given = services.environment() | {name: value for name, value in shell.items() if name.startswith("CLIP_")}
    given |= {"TIMEZONE": "Europe/Budapest"}
    (home / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in given.items()))
    (home / ".env").chmod(0o600)
    return {name: value for name, value in shell.items() if name not in {"TIMEZONE", *given}}


@pytest.fixture
def services() -> Iterator[Services]:
    """The services, all up, and trusted by this process."""
    with Services() as running:
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(running.smtp.authority)
        yield running
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before
        assert running.violations == []


def findings(home: Path, shell: dict[str, str] | None = None, *, offline: bool = True) -> dict[str, list[Finding]]:
    """What the doctor finds, by name."""
    found: dict[str, list[Finding]] = {}
    for one in examine(home, environment() if shell is None else shell, datetime.now(UTC), offline=offline):
        found.setdefault(one.name, []).append(one)
    return found


def levels(found: dict[str, list[Finding]]) -> dict[str, list[str]]:
    """How it stands with each."""
    return {name: [one.level for one in ones] for name, ones in found.items()}


# --- all is well -----------------------------------------------------------------------------------------------------


def test_where_all_is_well_every_finding_says_so(
    home: Path, well: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_crontab(monkeypatch, tmp_path, (home / "crontab.txt").read_text())

    found = findings(home, well, offline=False)

    assert levels(found) == {
        "installation": ["ok"],
        "rights": ["ok"],
        "file system": ["ok"],
        "disk": ["ok"],
        "inodes": ["ok"],
        "heartbeat": ["ok"],
        "settings": ["ok"],
        "prices": ["ok"],
        "keys": ["ok"],
        "ledger": ["ok", "ok"],
        "shop": ["ok"],
        "cron": ["ok", "ok"],
        "time zone": ["ok"],
        "gemini": ["ok"] * 3,
        "replicate": ["ok"],
        "vercel": ["ok"],
        "smtp": ["ok"],
        "clock": ["ok"],
    }
    assert not any(one.next_step for ones in found.values() for one in ones)


def test_nothing_is_bought_published_or_mailed_and_nothing_is_left_behind(
    home: Path, well: dict[str, str], services: Services
) -> None:
    before = {path: path.lstat().st_mtime_ns for path in home.rglob("*") if path.is_file()}

    findings(home, well, offline=False)

    assert {path: path.lstat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == before
    assert services.bill == []
    assert services.smtp.letters == []
    calls = [*services.gemini.calls, *services.replicate.calls, *services.vercel.calls]
    assert {call.request.method for call in calls} == {"GET"}


def test_offline_nobody_is_asked_and_it_says_so(home: Path, well: dict[str, str], services: Services) -> None:
    found = findings(home, well)

    assert str(found["services"][0]) == "ok    services      not asked: --offline"
    assert services.gemini.calls == services.replicate.calls == services.vercel.calls == []


# --- the machine -----------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_installation_ends_the_visit(tmp_path: Path) -> None:
    (only,) = examine(tmp_path, {}, datetime.now(UTC), offline=True)

    assert (only.level, only.name) == ("FAIL", "installation")
    assert "downstream init" in only.next_step
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["jobs", "streams", "logs", "jobs/failed", ".env"])
def test_what_others_may_look_into_is_named_with_the_command_that_closes_it(home: Path, name: str) -> None:
    (home / ".env").touch(mode=0o600)
    (home / name).chmod(0o644 if name == ".env" else 0o750)

    (finding,) = findings(home)["rights"]

    assert (finding.level, finding.found) == ("FAIL", f"others may look into {name}")
    assert finding.next_step == f"chmod {'600' if name == '.env' else '700'} {home / name}"
    assert (home / name).stat().st_mode & 0o077  # looking mends nothing


def test_what_belongs_to_somebody_else_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    assert findings(home)["rights"][0].found == "jobs belongs to another user"


def test_folders_on_two_file_systems_are_found(home: Path) -> None:
    elsewhere = Path("/proc")
    assert elsewhere.stat().st_dev != home.stat().st_dev
    (home / "jobs/failed").rmdir()
    (home / "jobs/failed").symlink_to(elsewhere)

    (finding,) = findings(home)["file system"]

    assert (finding.level, finding.found) == ("FAIL", "jobs/* and streams lie on more than one")


def test_a_folder_that_is_missing_is_named(home: Path) -> None:
    (home / "jobs/review").rmdir()

    (finding,) = findings(home)["file system"]

    assert (finding.level, finding.found) == ("FAIL", f"{home}/jobs/review: No such file or directory")


@pytest.mark.parametrize(("free", "level"), [(5_000_000_000, "ok"), (4_999_999_999, "warn"), (999_999_999, "FAIL")])
def test_a_disk_that_fills_up_is_told_of_in_time(
    home: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    assert findings(home)["disk"][0].level == level


@pytest.mark.parametrize(("little", "level"), [(1, "ok"), (10**18, "FAIL")])
def test_inodes_are_counted_too(home: Path, monkeypatch: pytest.MonkeyPatch, little: int, level: str) -> None:
    monkeypatch.setattr(machine, "LITTLE_ROOM_INODES", little)
    monkeypatch.setattr(machine, "NO_ROOM_INODES", little)

    assert findings(home)["inodes"][0].level == level


@pytest.mark.parametrize(
    ("status", "renewed_days_ago", "level"),
    [("ACTIVE", 0, "ok"), ("ACTIVE", 40, "warn"), ("PAUSED", 0, "warn"), ("STOP", 0, "warn"), ("GONE", 0, "FAIL")],
)
def test_the_heartbeat_is_part_of_it(home: Path, status: str, renewed_days_ago: int, level: str) -> None:
    renewed = datetime.now(UTC).date() - timedelta(days=renewed_days_ago)
    write_heartbeat(home, status=status, renewed=renewed, renew_days=30)

    (finding,) = findings(home)["heartbeat"]

    assert finding.level == level
    assert bool(finding.next_step) == (level != "ok")


def test_a_missing_heartbeat_is_a_failure(home: Path) -> None:
    (home / "HEARTBEAT.md").unlink()

    assert findings(home)["heartbeat"][0].level == "FAIL"


# --- settings, prices, keys, books -----------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["JOBS_AT_ONCE=many", "VERCEL_BASE_URL=http://planted.example", "SMTP_URL=planted"])
def test_settings_that_cannot_be_read_end_the_visit_by_their_name(home: Path, line: str) -> None:
    (home / ".env").write_text(line)

    (finding,) = findings(home)["settings"]

    assert finding.level == "FAIL"
    assert finding.found.startswith(line.partition("=")[0])
    assert "planted" not in str(finding)
    assert "keys" not in findings(home)


def test_an_env_file_that_is_not_text_is_a_finding(home: Path) -> None:
    (home / ".env").write_bytes(b"A=\xff\xfe")

    assert findings(home)["settings"][0].level == "FAIL"


@pytest.mark.parametrize(("days", "level"), [(90, "ok"), (91, "warn")])
def test_a_price_table_that_is_old_is_told_of(home: Path, days: int, level: str) -> None:
    (home / "prices.toml").write_text(f'as_of = "{datetime.now(UTC).date() - timedelta(days=days)}"\n')

    (finding,) = findings(home)["prices"]

    assert finding.level == level
    assert f"{days} days old" in finding.found


@pytest.mark.parametrize(
    "table", ['[models]\njudge = "gemini-9"\n', '[models]\nkeyframes = "x"\n', '[models]\nclips = "minimax/x"\n']
)
def test_a_model_without_a_price_is_a_failure(home: Path, table: str) -> None:
    (home / "prices.toml").write_text(table)

    assert [one.level for one in findings(home)["prices"]][-1] == "FAIL"


def test_a_clip_that_no_price_is_known_for_is_a_failure(home: Path) -> None:
    found = findings(home, environment(CLIP_RESOLUTION="1080p", CLIP_SECONDS="10"))

    assert '"1080p 10"' in found["prices"][-1].found


def test_missing_keys_are_named_and_are_no_failure(home: Path) -> None:
    (finding,) = findings(home)["keys"]

    assert finding.level == "warn"
    assert finding.found == f"not set: {', '.join(KEYS)}"


def test_who_writes_and_who_is_written_to_is_asked_for(home: Path) -> None:
    found = findings(home, environment(SMTP_URL="smtp://mail.example.com"))

    assert [one.found for one in found["mail"]] == ["MAIL_FROM is not set", "OPERATOR_EMAIL is not set"]


@pytest.mark.parametrize(("micros", "levels_expected"), [(79, ["ok", "ok"]), (80, ["warn", "ok"])])
def test_a_cap_that_is_nearly_reached_is_told_of(home: Path, micros: int, levels_expected: list[str]) -> None:
    caps = Caps(per_call_micros=10**9, per_day_micros=10**9, per_month_micros=10**9)
    ledger = Ledger(home, caps=caps, timezone="UTC", clock=lambda: datetime.now(UTC))
    ledger.reserve("order", "clips/01", "i", 1, "minimax", micros * 10_000)

    found = findings(home, environment(CAP_PER_DAY_CENTS="100", CAP_PER_MONTH_CENTS="200"))

    assert [one.level for one in found["ledger"]] == levels_expected
    assert found["ledger"][0].found == f"$0.{micros} of $1.00 spent today"


def test_a_ledger_somebody_changed_is_a_failure(home: Path) -> None:
    (home / "logs/ledger").mkdir()
    (home / "logs/ledger" / f"{datetime.now(UTC):%Y-%m}.jsonl").write_text("[]\n")

    assert findings(home)["ledger"][0].level == "FAIL"


def test_a_service_on_hold_is_told_of(home: Path) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    (home / "jobs/.limits").mkdir()
    hold = {"held_until": until.timestamp(), "why": "x", "fingerprint": "x"}
    (home / "jobs/.limits/minimax.json").write_text(json.dumps(hold))

    assert findings(home)["on hold"][0].found == f"minimax until {until:%Y-%m-%d %H:%M} UTC"


@pytest.fixture
def clock_of_the_machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finding]:
    """What the doctor says of the zone when the machine has that file as its clock's, and ``.env`` sets the other."""

    def look(localtime: Path, chosen: str, now: datetime | None = None) -> Finding:
        monkeypatch.setattr(settings, "LOCALTIME", localtime)
        (home / ".env").write_text(f"TIMEZONE={chosen}\n")
        shell = environment(TZ="Pacific/Apia")  # says nothing about cron
        del shell["TIMEZONE"]
        found = examine(home, shell, now or datetime.now(UTC), offline=True)
        (finding,) = (one for one in found if one.name == "time zone")
        return finding

    return look


def test_a_machine_whose_zone_is_not_known_is_asked_to_say_it(tmp_path: Path, clock_of_the_machine: Any) -> None:
    copied = tmp_path / "localtime"
    shutil.copyfile(ZONES / "Asia/Tokyo", copied)

    assert clock_of_the_machine(copied, "").level == "warn"
    assert clock_of_the_machine(copied, "UTC").level == "ok"


@pytest.mark.parametrize(
    ("machines", "chosen", "level"),
    [
        ("Asia/Tokyo", "America/New_York", "warn"),
        ("Asia/Seoul", "Asia/Tokyo", "ok"),
        ("UTC", "America/New_York", "warn"),
    ],
)
def test_reviews_that_cron_starts_by_another_clock_are_told(
    clock_of_the_machine: Any, machines: str, chosen: str, level: str
) -> None:
    finding = clock_of_the_machine(ZONES / machines, chosen)

    assert finding.level == level
    assert (machines in finding.found) == (level == "warn")
    assert (chosen in finding.next_step) == (level == "warn")


def test_without_a_choice_days_begin_by_the_clock_of_the_machine(clock_of_the_machine: Any) -> None:
    finding = clock_of_the_machine(ZONES / "Asia/Tokyo", "")

    assert (finding.level, finding.found) == ("ok", "Asia/Tokyo")


def test_a_machine_without_a_zone_goes_by_utc(clock_of_the_machine: Any, tmp_path: Path) -> None:
    assert clock_of_the_machine(tmp_path / "missing", "Asia/Tokyo").level == "warn"
    assert clock_of_the_machine(tmp_path / "missing", "UTC").level == "ok"


@pytest.mark.parametrize("month", [1, 7])
def test_zones_that_differ_in_summer_alone_are_told_in_winter_too(clock_of_the_machine: Any, month: int) -> None:
    assert clock_of_the_machine(ZONES / "UTC", "Europe/London", datetime(2027, month, 15, tzinfo=UTC)).level == "warn"


# --- the shop --------------------------------------------------------------------------------------------------------


LIVE = {"STRIPE_API_KEY": "sk_live_planted", "STRIPE_WEBHOOK_SECRET": "whsec_planted"}
TEST = {"STRIPE_API_KEY": "sk_test_planted", "STRIPE_WEBHOOK_SECRET": "whsec_planted"}


def test_a_shop_without_stripe_is_a_demo_and_well_so(home: Path) -> None:
    Orders(home).begin(Typed(), datetime.now(UTC))

    (finding,) = findings(home)["shop"]

    assert (finding.level, finding.found) == (
        "ok",
        "a demo: nobody pays (STRIPE_API_KEY is not set); 1 draft(s)",
    )


def test_a_shop_with_both_secrets_is_told_of_with_its_price(home: Path) -> None:
    found = findings(home, environment(**TEST))

    assert "stripe" not in found
    assert levels(found)["shop"] == ["ok", "ok"]
    assert found["shop"][0].found.startswith("an order costs 49.00 EUR; at most $")
    assert found["shop"][1].found == "open, 0 draft(s)"


def test_a_shop_that_nobody_watches_is_told_of(home: Path) -> None:
    address = "https://watcher.example.com/ping/planted-check"

    (without,) = findings(home, environment(**TEST))["watcher"]
    (watched,) = findings(home, environment(**TEST, HEALTHCHECK_URL=address))["watcher"]

    assert (without.level, watched.level) == ("warn", "ok")
    assert "HEALTHCHECK_URL" in without.found
    assert "planted" not in str(watched)
    assert "watcher" not in findings(home)  # a demo


@pytest.mark.parametrize("setting", ["DISK_RESERVE_MB", "MEMORY_RESERVE_MB"])
def test_a_machine_below_its_reserve_is_told_of(home: Path, setting: str) -> None:
    (finding,) = findings(home, environment(**{setting: "1000000"}))["room"]

    assert finding.level == "warn"
    assert f"1000000 MB must be: {setting}" in finding.found
    assert "room" not in findings(home, environment(**{setting: "0"}))


@pytest.mark.parametrize("missing", sorted(TEST))
def test_one_stripe_secret_without_the_other_is_a_failure(home: Path, missing: str) -> None:
    (finding,) = findings(home, environment(**{**TEST, missing: ""}))["stripe"]

    assert (finding.level, finding.found) == ("FAIL", f"{missing} is not set, and the other secret is")


def test_a_webhook_secret_that_is_none_is_a_failure_that_does_not_repeat_it(home: Path) -> None:
    (finding,) = findings(home, environment(**{**TEST, "STRIPE_WEBHOOK_SECRET": "planted"}))["stripe"]

    assert finding.level == "FAIL"
    assert "planted" not in str(finding)


@pytest.mark.parametrize(
    ("secrets", "address", "fails"),
    [
        (LIVE, "http://127.0.0.1:8000", True),
        (LIVE, "https://localhost", True),
        (LIVE, "https://stories.example", False),
        (TEST, "http://127.0.0.1:8000", False),
        ({**LIVE, "STRIPE_API_KEY": "rk_live_planted"}, "http://127.0.0.1:8000", True),
    ],
)
def test_real_money_is_taken_at_a_public_address_only(
    home: Path, secrets: dict[str, str], address: str, *, fails: bool
) -> None:
    found = findings(home, environment(**secrets, PUBLIC_URL=address))["shop"]

    assert [one.found for one in found if one.level == "FAIL"] == (
        [f"real money is taken, and PUBLIC_URL is {address}"] if fails else []
    )


def test_who_takes_real_money_says_who_that_is(home: Path) -> None:
    pages = {"IMPRINT_URL": "https://a.example/us", "TERMS_URL": "https://a.example/terms"}

    def told(**settings: str) -> list[str]:
        return [one.found for one in findings(home, environment(**settings))["shop"] if "not shown" in one.found]

    assert told(**LIVE) == [
        "real money is taken, and customers are not shown all they must be: IMPRINT_URL, TERMS_URL, PRIVACY_URL not set"
    ]
    assert told(**LIVE, **pages)[0].endswith(": PRIVACY_URL not set")
    assert told(**LIVE, **pages, PRIVACY_URL="https://a.example/data") == []
    assert told(**TEST) == []


@pytest.mark.parametrize(
    ("price", "currency", "fails"),
    [("49", "eur", True), ("50", "eur", False), ("0", "eur", False), ("49", "usd", True), ("4900", "xyz", True)],
)
def test_a_price_that_cannot_be_paid_or_has_no_exchange_rate_is_a_failure(
    home: Path, price: str, currency: str, *, fails: bool
) -> None:
    found = levels(findings(home, environment(**TEST, PRICE_CENTS=price, CURRENCY=currency)))

    assert ("FAIL" in found["shop"]) is fails


def test_payments_that_were_not_compared_for_an_hour_are_told_of(home: Path) -> None:
    watch.succeeded(home)
    assert levels(findings(home, environment(**TEST)))["shop"] == ["ok", "ok", "ok"]
    before = datetime.now(UTC).timestamp() - watch.WORRY_AFTER_SECONDS - 60
    os.utime(home / "jobs/.reconcile.succeeded", (before, before))

    finding = findings(home, environment(**TEST))["shop"][-1]

    assert (finding.level, finding.next_step.split(" says")[0]) == ("warn", "downstream reconcile")


def test_errands_that_were_given_up_or_do_not_come_off_are_named(home: Path) -> None:
    now = datetime.now(UTC)
    for stream_id, kind in (("lost", "refund"), ("slow", "confirm"), ("new", "confirm")):
        errands.put(home, stream_id, kind, now)
    errands.give_up(home, Errand("lost", "refund"))
    errands.put_off(home, Errand("slow", "confirm", tries=8), now)

    found = findings(home)["errands"]

    assert [one.found for one in found] == ["given up: lost refund", "slow confirm was tried 9 times; 2 wait"]


def test_held_orders_are_named_but_not_those_whose_money_went_back(home: Path) -> None:
    hold(home, Hold("disputed", DISPUTED, "the bank disputes it", ""))
    hold(home, Hold("over", REFUNDED, "its payment is refunded", ""))

    (finding,) = findings(home)["held"]

    assert (finding.level, finding.found) == ("warn", "disputed: the bank disputes it")
    assert finding.next_step == "downstream release disputed"


def test_an_order_that_is_forgotten_by_half_is_named(home: Path) -> None:
    save_proof(home, Proof(stream_id="half", status="begun", command="x", begun_at=datetime.now(UTC)))
    save_proof(home, Proof(stream_id="whole", status="done", command="x", begun_at=datetime.now(UTC)))

    (finding,) = findings(home)["forget"]

    assert finding.next_step == "downstream forget half"


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """A running Stripe, held to its contract."""
    with FakeStripe() as running:
        yield running
        assert running.violations == []


def online(home: Path, stripe: FakeStripe, **changes: str) -> dict[str, list[Finding]]:
    """What the doctor finds of a shop and nothing else."""
    shop = {
        "STRIPE_API_KEY": stripe.key,
        "STRIPE_WEBHOOK_SECRET": stripe.webhook_secret,
        "STRIPE_BASE_URL": stripe.base_url,
        "PUBLIC_URL": "http://127.0.0.1:9",
    }
    return findings(home, environment(**{**shop, **changes}), offline=False)


def test_stripes_key_is_tried_by_a_call_that_changes_nothing(home: Path, stripe: FakeStripe) -> None:
    before = sorted(home.rglob("*"))

    (finding,) = online(home, stripe)["stripe"]

    assert (finding.level, finding.found) == ("ok", "the key is taken: test mode")
    assert {call.request.method for call in stripe.calls} == {"GET"}
    assert sorted(home.rglob("*")) == before


def test_a_stripe_key_that_is_not_taken_is_a_failure_that_does_not_repeat_it(home: Path, stripe: FakeStripe) -> None:
    (finding,) = online(home, stripe, STRIPE_API_KEY="sk_test_planted_wrong")["stripe"]

    assert finding.level == "FAIL"
    assert "STRIPE_API_KEY" in finding.found
    assert "planted" not in str(finding)


def test_a_shop_that_customers_cannot_find_is_told_of(home: Path, stripe: FakeStripe) -> None:
    finding = online(home, stripe)["shop"][-1]

    assert (finding.level, finding.found) == ("warn", "http://127.0.0.1:9/healthz: no answer (ConnectionError)")
    assert "downstream serve" in finding.next_step


def test_a_shop_that_answers_is_well(home: Path, stripe: FakeStripe) -> None:
    door = HttpServer(lambda request: Answer(200 if request.path == "/healthz" else 404))
    address = f"http://{door.open_port()}"

    finding = online(home, stripe, PUBLIC_URL=address)["shop"][-1]
    door.respond = lambda _: Answer(503)
    later = online(home, stripe, PUBLIC_URL=address)["shop"][-1]
    door.stop()

    assert (finding.level, finding.found) == ("ok", f"{address} answers")
    assert (later.level, later.found) == ("warn", f"{address}/healthz answers 503")


# --- cron ------------------------------------------------------------------------------------------------------------


def with_crontab(monkeypatch: pytest.MonkeyPatch, folder: Path, installed: str | None) -> None:
    """The machine has a ``crontab`` command that lists this, or says that there is none."""
    command = folder / "bin" / "crontab"
    command.parent.mkdir()
    (folder / "installed").write_text(installed or "")
    command.write_text(f"#!/bin/sh\n{f'cat {folder}/installed' if installed is not None else 'exit 1'}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")


def test_what_is_set_in_the_shell_alone_is_named_without_its_value(home: Path) -> None:
    shell = environment(VERCEL_TOKEN="planted-token", TIMEZONE="Asia/Tokyo", CAP_PER_DAY_CENTS="7")  # noqa: S106

    (finding,) = [one for one in findings(home, shell)["cron"] if "this shell" in one.found]

    assert finding.level == "warn"
    assert {"VERCEL_TOKEN", "TIMEZONE", "CAP_PER_DAY_CENTS", "CLIP_WIDTH"} <= set(
        finding.found.partition(": ")[2].split(", ")
    )
    assert "planted" not in str(finding)


def test_what_the_crontab_sets_is_seen_by_cron(home: Path) -> None:
    text = (home / "crontab.txt").read_text()
    plain = {name: value for name, value in environment().items() if not name.startswith("CLIP_")}
    (home / "crontab.txt").write_text(f'VERCEL_TEAM_ID = "team_planted"\nTIMEZONE=UTC\n{text}')

    found = findings(home, {**plain, "VERCEL_TEAM_ID": "team_planted", "TIMEZONE": "UTC"})

    assert not [one for one in found["cron"] if "this shell" in one.found]


@pytest.mark.parametrize("program", ["downstream", "/nowhere/downstream", "/bin/false"])
def test_a_program_cron_cannot_start_is_a_failure(home: Path, program: str) -> None:
    (home / "crontab.txt").write_text(crontab(str(home), program))

    (finding,) = [one for one in findings(home)["cron"] if one.level == "FAIL"]

    assert finding.found == f"cron cannot start {program}"


def test_another_installations_crontab_is_a_failure(home: Path, tmp_path: Path) -> None:
    (home / "crontab.txt").write_text(crontab(str(tmp_path), PROGRAM))

    assert findings(home)["cron"][0].found == "crontab.txt works on another installation"


@pytest.mark.parametrize("text", [None, "", "# nothing\n"])
def test_a_crontab_without_our_lines_is_told_of(home: Path, text: str | None) -> None:
    (home / "crontab.txt").unlink()
    if text is not None:
        (home / "crontab.txt").write_text(text)

    assert "warn" in [one.level for one in findings(home)["cron"]]


@pytest.mark.parametrize("installed", [None, "", "*/5 * * * * something else\n"])
def test_lines_that_are_not_installed_are_counted(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: str | None
) -> None:
    with_crontab(monkeypatch, tmp_path, installed)

    finding = findings(home)["cron"][-1]

    assert (finding.level, finding.found) == ("warn", "5 line(s) of crontab.txt are not installed")
    assert finding.next_step == "crontab crontab.txt"


def test_settings_that_only_cron_cannot_read_are_a_failure(home: Path) -> None:
    text = (home / "crontab.txt").read_text()
    (home / "crontab.txt").write_text(f"JOBS_AT_ONCE=many\n{text}")

    assert "under cron: JOBS_AT_ONCE is 'many'; it must be a whole number" in [
        one.found for one in findings(home, environment(JOBS_AT_ONCE="2"))["cron"]
    ]


# --- claude ----------------------------------------------------------------------------------------------------------


def test_a_claude_command_that_is_missing_is_a_failure_for_the_shell_and_for_cron(home: Path) -> None:
    found = findings(home, environment(DIRECTOR="claude", CLAUDE_COMMAND="/nowhere/claude"))

    assert levels(found)["claude"] == ["FAIL"]


def test_a_claude_command_that_only_the_shell_finds_is_a_failure(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "tools" / "claude"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho 2.0.1 planted\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    (home / ".env").write_text("DIRECTOR=claude\n")

    found = findings(home, environment())

    assert found["claude"][0].found == "2.0.1 planted"
    assert "cron does not find the command claude" in [one.found for one in found["cron"]]
    (home / ".env").write_text(f"DIRECTOR=claude\nCLAUDE_COMMAND={command}\n")
    assert "FAIL" not in levels(findings(home, environment()))["cron"]


# --- services --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("GOOGLE_AI_API_KEY", "planted-wrong", "gemini"),
        ("REPLICATE_API_TOKEN", "planted-wrong", "replicate"),
        ("VERCEL_TOKEN", "planted-wrong", "vercel"),
        ("SMTP_URL", "wrong password", "smtp"),
    ],
)
def test_a_key_that_is_not_taken_is_a_failure_that_does_not_repeat_it(
    home: Path, well: dict[str, str], services: Services, name: str, value: str, finding: str
) -> None:
    if name == "SMTP_URL":
        user, _, host = services.smtp.url.rpartition("@")
        value = f"{user.rpartition(':')[0]}:planted-wrong@{host}"

    found = findings(home, {**well, name: value}, offline=False)

    assert {one.level for one in found[finding]} == {"FAIL"}
    assert name in found[finding][0].found
    assert "planted" not in str(found)
    others = {"gemini", "replicate", "vercel", "smtp"} - {finding}
    assert {one.level for other in others for one in found[other]} == {"ok"}


def test_a_model_the_service_does_not_have_is_named(home: Path, well: dict[str, str]) -> None:
    (home / "prices.toml").write_text('[models]\njudge = "gemini-9"\n[tokens.gemini-9]\ninput = "1"\noutput = "1"\n')

    found = findings(home, well, offline=False)["gemini"]

    assert [one.level for one in found] == ["ok", "ok", "FAIL", "ok"]
    assert found[2].found == "there is no model gemini-9"


def test_with_claude_as_director_only_the_models_that_are_used_are_asked_for(
    home: Path, well: dict[str, str], tmp_path: Path
) -> None:
    claude = FakeClaude(tmp_path / "claude")
    found = findings(home, {**well, "DIRECTOR": "claude", "CLAUDE_COMMAND": str(claude.command)}, offline=False)

    assert [one.found.split()[0] for one in found["gemini"]] == ["gemini-3.5-flash-lite", "gemini-nano-banana-2.1"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_service_in_trouble_is_a_warning(home: Path, well: dict[str, str], services: Services, status: int) -> None:
    services.replicate.fail_next(Fault.status(status), operations={"account.get"})
    services.vercel.fail_next(Fault.status(status), operations={"getProject"})

    found = findings(home, well, offline=False)

    for name in ("replicate", "vercel"):
        assert (found[name][0].level, found[name][0].found) == ("warn", f"it answers {status}")


def test_a_service_that_does_not_answer_is_a_failure(home: Path, well: dict[str, str], services: Services) -> None:
    services.replicate.fail_next(Fault.drop(), times=FOR_EVER, operations={"account.get"})
    elsewhere = {**well, "VERCEL_BASE_URL": "http://127.0.0.1:9"}

    found = findings(home, elsewhere, offline=False)

    for name in ("replicate", "vercel"):
        assert (found[name][0].level, found[name][0].found) == ("FAIL", "no answer (ConnectionError)")


def test_a_service_that_answers_too_late_is_not_waited_for(
    home: Path, well: dict[str, str], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "READ_SECONDS", 0.2)
    services.replicate.fail_next(Fault.late(5), operations={"account.get"})

    assert findings(home, well, offline=False)["replicate"][0].found == "no answer (ReadTimeout)"


def test_a_mail_server_that_does_not_talk_is_a_failure(home: Path, well: dict[str, str], services: Services) -> None:
    services.smtp.fail_next(MailFault.drop("CONNECT"))

    (finding,) = findings(home, well, offline=False)["smtp"]

    assert finding.level == "FAIL"
    assert "ports 25 and 465" in finding.next_step


@pytest.mark.parametrize(
    ("seconds", "level", "told"),
    [(0, "ok", "within 30"), (120, "warn", "ahead of"), (-120, "warn", "behind"), (-4000, "FAIL", "behind")],
)
def test_a_clock_that_is_off_is_told_of_by_the_services_own(
    home: Path, well: dict[str, str], monkeypatch: pytest.MonkeyPatch, seconds: int, level: str, told: str
) -> None:
    class Off(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(seconds=seconds)

    monkeypatch.setattr(outside, "datetime", Off)

    (finding,) = findings(home, well, offline=False)["clock"]

    assert finding.level == level
    assert told in finding.found


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_ends_with_six_when_something_fails_and_with_nought_on_warnings(
    home: Path, run: Callable[..., Any]
) -> None:
    fine = run("doctor", "--offline")
    (home / "jobs").chmod(0o755)
    bad, script = run("doctor", "--offline"), run("doctor", "--offline", "--json")

    assert (fine.returncode, fine.stderr) == (0, "")
    assert fine.stdout.startswith("ok    installation  ")
    assert "\nwarn  keys          not set: " in fine.stdout
    assert bad.returncode == script.returncode == 6
    assert f"FAIL  rights        others may look into jobs → chmod 700 {home}/jobs" in bad.stdout.splitlines()
    rights = [one for one in json.loads(script.stdout) if one["name"] == "rights"]
    assert rights == [
        {"level": "FAIL", "name": "rights", "found": "others may look into jobs", "next_step": f"chmod 700 {home}/jobs"}
    ]
