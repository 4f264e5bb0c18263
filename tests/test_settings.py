"""The settings: every default works, and a wrong value is refused by its variable's name."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from downstream.domain.errors import Misconfigured
from downstream.installation import ENVIRONMENT
from downstream.settings import KEYS, Secret, Settings, read_environment, read_settings

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_set_gives_the_documented_defaults() -> None:
    settings = read_settings({"TIMEZONE": "UTC", "SEGMENTS_AT_ONCE": "2"})

    assert settings == Settings()


def test_an_empty_variable_counts_as_not_set() -> None:
    empty = {field.name.upper(): "" for field in fields(Settings)}

    assert read_settings(empty) == read_settings({})


def test_every_setting_is_read_from_the_variable_of_its_name() -> None:
    given: dict[str, str] = {
        "REVIEW_POLICY": "operator",
        "JOBS_AT_ONCE": "3",
        "SEGMENTS_AT_ONCE": "5",
        "REGENERATIONS_PER_SEGMENT": "0",
        "REGENERATIONS_PER_ORDER": "7",
        "CLIP_SECONDS": "2.5",
        "CLIP_FRAMES_PER_SECOND": "12",
        "CLIP_WIDTH": "640",
        "CLIP_HEIGHT": "360",
        "PAGE_BYTES_PER_SEGMENT": "1000000",
        "TIMEZONE": "Europe/Budapest",
        "MAIL_FROM": "Stories <stories@example.com>",
        "OPERATOR_EMAIL": "operator@example.com",
        "HEALTHCHECK_URL": "https://watcher.example.com/ping/planted-check",
        "DISK_RESERVE_MB": "50",
        "MEMORY_RESERVE_MB": "20",
        "GOOGLE_AI_API_KEY": "planted-google-key",
        "GOOGLE_GEMINI_BASE_URL": "https://gemini.example.com",
        "GOOGLE_API_VERSION": "v1beta",
        "REPLICATE_API_TOKEN": "r8_planted_token",
        "REPLICATE_BASE_URL": "http://127.0.0.1:8001",
        "VERCEL_TOKEN": "planted-vercel-token",
        "VERCEL_TEAM_ID": "team_planted",
        "VERCEL_BASE_URL": "http://localhost:8002",
        "SMTP_URL": "smtps://user:p%40ss@mail.example.com:465",
        "DIRECTOR": "claude",
        "ANTHROPIC_API_KEY": "planted-anthropic-key",
        "CLAUDE_COMMAND": "/usr/local/bin/claude",
        "CLIP_RESOLUTION": "1080p",
        "STRIPE_API_KEY": "sk_test_planted",
        "STRIPE_WEBHOOK_SECRET": "whsec_planted",
        "STRIPE_BASE_URL": "http://127.0.0.1:8003",
        "KEEP_FAILED_DAYS": "30",
        "PRICE_CENTS": "5900",
        "CURRENCY": "huf",
        "PUBLIC_URL": "https://stories.example.com",
        "IMPRINT_URL": "https://example.com/who/",
        "TERMS_URL": "https://example.com/terms#stories",
        "PRIVACY_URL": "https://example.com/privacy",
        "CALLS_AT_ONCE": "7",
        "GEMINI_PER_MINUTE": "10",
        "GEMINI_AT_ONCE": "3",
        "REPLICATE_PER_MINUTE": "6",
        "REPLICATE_AT_ONCE": "2",
        "VERCEL_AT_ONCE": "4",
        "CAP_PER_CALL_CENTS": "51",
        "CAP_PER_JOB_PERCENT": "30",
        "CAP_PER_UNPAID_JOB_CENTS": "0",
        "CAP_PER_DAY_CENTS": "999",
        "CAP_PER_MONTH_CENTS": "9999",
    }
    assert set(given) == {field.name.upper() for field in fields(Settings)}

    settings = read_settings(given)

    assert {field.name.upper(): shown(getattr(settings, field.name)) for field in fields(Settings)} == given


def shown(value: object) -> str:
    """A setting as it was written."""
    return value.reveal() if isinstance(value, Secret) else str(value)


@pytest.mark.parametrize("missing", KEYS)
def test_a_key_that_is_not_set_is_named(missing: str) -> None:
    given = {**dict.fromkeys(KEYS, "planted"), "SMTP_URL": "smtp://mail.example.com"}

    assert read_settings(given).missing_keys == ()
    assert read_settings({**given, missing: " "}).missing_keys == (missing,)


def test_no_secret_shows_itself() -> None:
    given = dict.fromkeys(KEYS, "smtp://user:planted@example.com")

    settings = read_settings(given)

    assert "planted" not in repr(settings) + str(settings.smtp_url) + f"{settings.google_ai_api_key!r}"
    assert settings.smtp_url.reveal() == "smtp://user:planted@example.com"
    assert repr(settings.vercel_token) == "Secret(set)"
    assert repr(Settings().vercel_token) == "Secret(not set)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOOGLE_AI_API_KEY", "planted key"),
        ("REPLICATE_API_TOKEN", "plantéd"),
        ("VERCEL_TOKEN", "planted\nkey"),
        ("SMTP_URL", "mail.planted.example"),
        ("SMTP_URL", "https://planted.example"),
        ("SMTP_URL", "smtps://user:planted@"),
        ("SMTP_URL", "smtps://user:planted@host:port"),
        ("GOOGLE_GEMINI_BASE_URL", "http://planted.example"),
        ("REPLICATE_BASE_URL", "planted.example"),
        ("VERCEL_BASE_URL", "http://127.0.0.1.planted.example"),
        ("IMPRINT_URL", "javascript:planted()"),
        ("PUBLIC_URL", "https://planted.example "),
        ("IMPRINT_URL", "https://example.com/a planted"),
        ("TERMS_URL", "https://example.com/a\nplanted"),
        ("TERMS_URL", "/planted"),
    ],
)
def test_a_wrong_key_or_address_is_refused_by_its_name_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{name} ") as caught:
        read_settings({name: value})

    assert "plant" not in str(caught.value)


def test_the_environment_goes_before_the_file_and_dollars_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VERCEL_TOKEN='pl$HOME#nted'\nDIRECTOR=claude\n#CAP_PER_DAY_CENTS=1\n")

    settings = read_settings(read_environment(tmp_path, {"DIRECTOR": "gemini", "HOME": "/root"}))

    assert settings.vercel_token.reveal() == "pl$HOME#nted"
    assert settings.director == "gemini"
    assert settings.cap_per_day_cents == Settings().cap_per_day_cents


def test_the_template_names_every_key_and_only_settings_there_are_with_their_defaults(tmp_path: Path) -> None:
    lines = [line[1:].partition("=") for line in ENVIRONMENT.splitlines() if re.match(r"#[A-Z_]+=", line)]
    named = {name: value for name, _, value in lines if not name.startswith("RESTIC_")}

    assert set(KEYS) <= set(named) <= {field.name.upper() for field in fields(Settings)}
    assert not any(value for name, value in named.items() if name.endswith(("KEY", "TOKEN", "URL")))
    del named["MAIL_FROM"]  # an example: the default is no address anybody could answer
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in named.items()))
    cores = {"SEGMENTS_AT_ONCE": "", "TIMEZONE": ""}
    assert read_settings({**read_environment(tmp_path, {}), **cores}) == read_settings({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REVIEW_POLICY", "AUTO"),
        ("REVIEW_POLICY", "nobody"),
        ("JOBS_AT_ONCE", "0"),
        ("JOBS_AT_ONCE", "-1"),
        ("JOBS_AT_ONCE", "65"),
        ("JOBS_AT_ONCE", "2.0"),
        ("JOBS_AT_ONCE", "two"),
        ("JOBS_AT_ONCE", "9" * 5000),
        ("CLIP_SECONDS", "nan"),
        ("CLIP_SECONDS", "inf"),
        ("CLIP_SECONDS", "0.4"),
        ("CLIP_SECONDS", "6s"),
        ("CLIP_WIDTH", "641"),
        ("CLIP_HEIGHT", "721"),
        ("CLIP_HEIGHT", "2160"),
        ("PAGE_BYTES_PER_SEGMENT", "0"),
        ("TIMEZONE", "Budapest"),
        ("TIMEZONE", "/etc/passwd"),
        ("TIMEZONE", "../../../etc/passwd"),
        ("TIMEZONE", "zone.tab"),
        ("TIMEZONE", "Europe"),
        ("TIMEZONE", "Europe/Budapest\n"),
        ("DIRECTOR", "Claude"),
        ("CLIP_RESOLUTION", "720p"),
        ("GOOGLE_API_VERSION", "v2"),
        ("CAP_PER_JOB_PERCENT", "-1"),
        ("CAP_PER_DAY_CENTS", "10.50"),
        ("REPLICATE_PER_MINUTE", "601"),
        ("OPERATOR_EMAIL", "a@example.com\nBcc: b@example.com"),
        ("MAIL_FROM", "nobody"),
        ("MAIL_FROM", "a@example.com\nBcc: b@example.com"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{name} is "):
        read_settings({name: value})


def test_a_machine_of_many_processors_needs_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert read_settings({}).segments_at_once == 64

    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert read_settings({}).segments_at_once == 2


@pytest.mark.parametrize(
    ("tz", "expected"),
    [("Europe/Budapest", "Europe/Budapest"), (":Asia/Tokyo", "Asia/Tokyo"), ("CET-1CEST,M3", "UTC"), ("/etc/x", "UTC")],
)
def test_without_a_setting_the_machines_zone_is_cron_s(tz: str, expected: str) -> None:
    assert read_settings({"TZ": tz}).timezone == expected


def test_the_zone_found_on_this_machine_is_one() -> None:
    assert ZoneInfo(read_settings({}).timezone)


def test_utc_needs_no_zones_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import zoneinfo

    def nothing(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", nothing)

    assert read_settings({}).timezone == "UTC"
    assert read_settings({"TIMEZONE": "UTC"}).timezone == "UTC"


@pytest.mark.parametrize(
    "address", ["http://watcher.example.com/planted", "planted", "https://[planted", "https://x:planted/", "https:///p"]
)
def test_a_watcher_is_told_over_tls_and_its_address_is_not_shown(address: str) -> None:
    with pytest.raises(Misconfigured, match="HEALTHCHECK_URL") as refusal:
        read_settings({"HEALTHCHECK_URL": address})

    assert "planted" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
