"""The price table as this installation has it: the package's own, and above it ``prices.toml`` of the installation."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from downstream.domain.errors import Misconfigured
from downstream.domain.prices import MICROS_PER_CENT, Prices
from downstream.domain.record import explain

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.job import Job
    from downstream.settings import Settings


def read_prices(home: Path) -> Prices:
    """The price table.

    Raises:
        Misconfigured: the installation's ``prices.toml`` is not one; the text names what is wrong.
    """
    table = tomllib.loads(files("downstream").joinpath("prices.toml").read_text("utf-8"))
    own = home / "prices.toml"
    try:
        if own.exists():
            table = _above(table, tomllib.loads(own.read_text("utf-8")))
        return Prices.model_validate(table)
    except ValidationError as error:
        raise Misconfigured(f"prices.toml: {explain(error)}") from None
    except ValueError as error:  # neither TOML nor UTF-8
        raise Misconfigured(f"prices.toml: {error}") from None


def most_micros(home: Path, settings: Settings, job: Job) -> int:
    """The cap of a job, in millionths of a dollar: a share of what was paid for it, or a fixed amount for nothing."""
    paid = job.paid
    if paid is None or not paid.amount_minor:
        return settings.cap_per_unpaid_job_cents * MICROS_PER_CENT
    return read_prices(home).in_micros(paid) * settings.cap_per_job_percent // 100


def _above(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both tables in one; where both speak, ``above`` is right."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _above(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged
