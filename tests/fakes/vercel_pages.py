"""What Vercel keeps and what its visitors see: projects, deployments, which hostname shows which, and the pages."""

from __future__ import annotations

import gzip
import mimetypes
import time
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from fakes.http_server import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOGIN_PATH = "/.vercel/sso-api"
_LOGIN_PAGE = b"<!doctype html><html><head><title>Login - Vercel</title></head><body>Log in to Vercel</body></html>"
_ANOTHER_PAGE = b"<!doctype html><html><head><title>Another story</title></head><body>Not this order's.</body></html>"
_TEXT_TYPES = {"application/javascript", "application/json", "image/svg+xml", "application/xml"}
_FAILURES = {"BLOCKED", "ERROR", "CANCELED"}


@dataclass
class Project:
    """One project. ``host`` is its production domain."""

    id: str
    name: str
    host: str
    sso_protection: dict[str, Any] | None
    settings: dict[str, Any] | None = None

    def hides(self, host: str) -> bool:
        """Whether visitors of ``host`` must log in. Our hostnames are all generated, none is a custom domain."""
        if self.sso_protection is None:
            return False
        kind = self.sso_protection["deploymentType"]
        return kind != "preview" and (host != self.host or kind != "prod_deployment_urls_and_all_previews")


@dataclass
class Deployment:
    """One version of a project's files; moments are in seconds since 1970."""

    id: str
    project: Project
    host: str
    files: dict[str, str]
    """SHA-1 by path."""
    meta: dict[str, str]
    target: str | None
    created: float
    ready_at: float
    alias_at: float
    outcome: str = ""
    detail: str = ""
    canceled_at: float = inf
    deleted: bool = False
    aliases: list[str] = field(default_factory=list)
    """The hostnames that were pointed at it by hand."""

    def state(self, now: float) -> str:
        """``readyState`` at ``now``."""
        if self.canceled_at <= now:
            return "CANCELED"
        if now < self.ready_at:
            return "QUEUED" if now < self.created + (self.ready_at - self.created) * 0.2 else "BUILDING"
        return self.outcome if self.outcome in _FAILURES else "READY"

    def is_aliased(self, now: float) -> bool:
        """Whether the project's hostname was pointed at it, if it ever is."""
        return self.state(now) == "READY" and now >= self.alias_at and self.outcome != "alias_error"

    def is_lost(self) -> bool:
        """Whether it never becomes, or no longer is, a page."""
        return self.deleted or self.outcome != "" or self.canceled_at < inf


class Hosts:
    """Which deployment each hostname shows, and from when."""

    def __init__(self) -> None:
        self._pointers: dict[str, list[tuple[float, Deployment]]] = {}

    def point(self, host: str, deployment: Deployment, moment: float) -> None:
        """Visitors of ``host`` see ``deployment`` from ``moment`` on, unless it fails first."""
        self._pointers.setdefault(host, []).append((moment, deployment))

    def shown(self, host: str, now: float) -> Deployment | None:
        """What visitors of ``host`` see at ``now``."""
        pointers = reversed(self._pointers.get(host, []))
        return next((item for since, item in pointers if since <= now and item.state(now) == "READY"), None)


def visit(
    shown: Deployment | None, files: Mapping[str, bytes], request: Any, outcome: str, *, redirects: bool
) -> Answer:
    """The answer to an anonymous visitor of ``shown``."""
    host, path = request.headers.get("host", ""), request.path
    if path == _LOGIN_PATH:
        return _html(200, _LOGIN_PAGE)
    if shown is None:
        return _text(404, "DEPLOYMENT_NOT_FOUND")
    if outcome == "protected" or shown.project.hides(host):
        return _redirect(host) if redirects else _html(401, _LOGIN_PAGE)
    if outcome == "wrong_page":
        return _html(200, _ANOTHER_PAGE)
    if shown.deleted:
        return _text(410, "DEPLOYMENT_DELETED")
    name = path.removeprefix("/") + ("index.html" if path.endswith("/") else "")
    if name not in shown.files:
        return _text(404, "NOT_FOUND")
    return _page(name, files[shown.files[name]], shown.files[name], request.headers.get("accept-encoding", ""))


def _page(name: str, content: bytes, digest: str, accepted: str) -> Answer:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    is_text = kind.startswith("text/") or kind in _TEXT_TYPES
    headers = {
        "content-type": f"{kind}; charset=utf-8" if is_text else kind,
        "cache-control": "public, max-age=0, must-revalidate",
        "etag": f'"{digest}"',
    }
    if is_text and "gzip" in accepted:
        return Answer(200, gzip.compress(content, mtime=0), headers | {"content-encoding": "gzip"})
    return Answer(200, content, headers)


def _html(status: int, page: bytes) -> Answer:
    return Answer(status, page, {"content-type": "text/html; charset=utf-8"})


def _text(status: int, code: str) -> Answer:
    return Answer(status, f"{code}\n".encode(), {"content-type": "text/plain; charset=utf-8", "x-vercel-error": code})


def _redirect(host: str) -> Answer:
    return Answer(302, headers={"location": f"http://{host}{_LOGIN_PATH}?url={host}&nonce={time.time_ns()}"})
