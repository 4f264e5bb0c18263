"""The settings: every default works, and a wrong value is refused by its variable's name."""

from __future__ import annotations

import os
from dataclasses import fields
from zoneinfo import ZoneInfo

import pytest

from downstream.domain.errors import Misconfigured
from downstream.settings import Settings, read_settings


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
    }
    assert set(given) == {field.name.upper() for field in fields(Settings)}

    settings = read_settings(given)

    assert {name: str(getattr(settings, name.lower())) for name in given} == given


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
