"""The settings: the environment, read once by the entry point and handed over from there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from downstream.domain.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may set; every field has a default that works. The README explains each."""

    review_policy: Literal["auto", "operator"] = "auto"
    jobs_at_once: int = 2
    segments_at_once: int = 2
    regenerations_per_segment: int = 2
    regenerations_per_order: int = 4
    clip_seconds: float = 6.0
    clip_frames_per_second: int = 24
    clip_width: int = 1280
    clip_height: int = 720
    page_bytes_per_segment: int = 1_500_000
    timezone: str = "UTC"
    mail_from: str = "DownStream <stories@localhost>"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings the environment asks for.

    Raises:
        Misconfigured: a value is not of its kind; the text names the variable.
    """
    read = _Reader(environment)
    return Settings(
        review_policy="operator" if read.choice("REVIEW_POLICY", ("auto", "operator")) == "operator" else "auto",
        jobs_at_once=int(read.number("JOBS_AT_ONCE", 2, low=1, high=64)),
        segments_at_once=int(read.number("SEGMENTS_AT_ONCE", min(os.cpu_count() or 2, 64), low=1, high=64)),
        regenerations_per_segment=int(read.number("REGENERATIONS_PER_SEGMENT", 2, low=0, high=20)),
        regenerations_per_order=int(read.number("REGENERATIONS_PER_ORDER", 4, low=0, high=100)),
        clip_seconds=read.number("CLIP_SECONDS", 6, low=0.5, high=10, whole=False),
        clip_frames_per_second=int(read.number("CLIP_FRAMES_PER_SECOND", 24, low=8, high=60)),
        clip_width=int(read.number("CLIP_WIDTH", 1280, low=64, high=1920, step=2)),
        clip_height=int(read.number("CLIP_HEIGHT", 720, low=36, high=1080, step=2)),
        page_bytes_per_segment=int(read.number("PAGE_BYTES_PER_SEGMENT", 1_500_000, low=1, high=100_000_000)),
        timezone=_timezone(environment),
        mail_from=_mail_from(environment),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    environment: Mapping[str, str]

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.environment.get(name) or choices[0]
        if value not in choices:
            raise Misconfigured(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
        return value

    def number(self, name: str, default: float, *, low: float, high: float, whole: bool = True, step: int = 1) -> float:
        text = self.environment.get(name) or str(default)
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            raise Misconfigured(f"{name} is {text!r}; it must be a {'whole ' if whole else ''}number") from None
        if not low <= value <= high or (value % step and whole):
            even = " and even" if step == 2 else ""
            raise Misconfigured(f"{name} is {text}; it must be between {low:g} and {high:g}{even}")
        return value


def _timezone(environment: Mapping[str, str]) -> str:
    """The zone asked for, else the machine's, which is also cron's."""
    name = environment.get("TIMEZONE")
    if not name:
        return _machine_timezone(environment)
    if not _is_timezone(name):
        raise Misconfigured(f"TIMEZONE is {name!r}, which is not a time zone such as Europe/Budapest")
    return name


def _machine_timezone(environment: Mapping[str, str]) -> str:
    name = environment.get("TZ", "").lstrip(":") or str(Path("/etc/localtime").resolve()).rpartition("zoneinfo/")[2]
    return name if _is_timezone(name) else "UTC"


def _is_timezone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return name == "UTC"  # known even where no zones are installed
    return True


def _mail_from(environment: Mapping[str, str]) -> str:
    from email.utils import parseaddr

    sender = environment.get("MAIL_FROM") or "DownStream <stories@localhost>"
    if "@" not in parseaddr(sender)[1] or not sender.isprintable():
        raise Misconfigured("MAIL_FROM is not an address such as DownStream <stories@example.com>")
    return sender
