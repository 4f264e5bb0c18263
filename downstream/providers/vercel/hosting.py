"""Pages on Vercel: a project per stream, open to everybody, its address the same for every version.

Nothing is paid for here, and files are kept by their content, so every piece may be done twice. What must not happen is
that a page is published over and over: before a deployment is asked for, the project's list is searched for one of the
same version, which a run that was cut off may have left there.
"""

from __future__ import annotations

import hashlib
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from downstream.domain.errors import PersonDecides, TryAgain
from downstream.domain.pace import PAUSES_SECONDS, pauses, persistently
from downstream.domain.ports import Published
from downstream.files import tree_files, tree_sha256
from downstream.providers.vercel.wire import NoAnswer, Vercel, Visitor, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from downstream.domain.ports import Call, Gate

LONGEST_NAME = 52
FAILED = {"ERROR", "CANCELED", "BLOCKED"}
STATIC = {"framework": None, "buildCommand": None, "installCommand": None, "outputDirectory": None}
"""Settings of a project of plain files: nothing is built."""
ROUNDS = 3
"""How often a deployment is asked for and what is missing for it is uploaded."""
BLINKS_SECONDS = (0.2, 0.8)
"""Between looks of a visitor."""


class VercelHosting:
    """Publishes pages. Threads may share it."""

    name = "vercel"

    def __init__(
        self,
        token: str,
        team_id: str,
        base_url: str,
        gate: Gate,
        prefix: str = "story",
        *,
        poll_seconds: float = 2.0,
        patience_seconds: float = 600.0,
        uploads_at_once: int = 16,
    ) -> None:
        self._vercel = Vercel(token, team_id, base_url, gate)
        self._visitor = Visitor()
        self._prefix = prefix
        self._poll_seconds = poll_seconds
        self._patience_seconds = patience_seconds
        self._uploads_at_once = uploads_at_once

    def publish(self, stream_id: str, folder: Path, call: Call) -> Published:
        """The files of ``folder`` stand at the stream's address; what stood there before is kept.

        Raises:
            PersonDecides: Vercel does not let the page be seen.
            OnHold: it wants to be paid, or a limit is used up.
            TryAgain: it failed, or has not ended yet.
        """
        call.spent(0)
        page = _Page(stream_id, folder)
        project = persistently(partial(self._project, stream_id), call.wait, NoAnswer)
        deployment, was_there = self._deployed(project, page, call)
        host = self._host(project, self._ready(deployment, call), call)
        if was_there:  # since then the address may have been given to another version
            persistently(partial(self._point, host, deployment), call.wait, NoAnswer)
        return Published(_address(host), deployment)

    def restore(self, stream_id: str, version: str, call: Call) -> Published:
        """The stream's address shows again what was published as ``version``.

        Raises:
            PersonDecides: that version is gone, or another stream's.
        """
        call.spent(0)
        project = persistently(partial(self._project, stream_id), call.wait, NoAnswer)
        kept = persistently(partial(self._kept, version), call.wait, NoAnswer)
        if kept is None or kept.get("projectId") != project:
            raise PersonDecides(f"Vercel does not have version {version} of {stream_id} any more")
        host = self._host(project, kept, call)
        persistently(partial(self._point, host, version), call.wait, NoAnswer)
        return Published(_address(host), version)

    def fetch(self, published: Published, path: str) -> bytes:
        """What an anonymous visitor gets for ``path``; at the host that was asked and no other.

        Raises:
            TryAgain: nothing is there, or a login is in front of it.
        """
        address = f"{published.address}/{quote(path)}"
        return persistently(partial(self._seen, address), time.sleep, NoAnswer, BLINKS_SECONDS)

    def fetch_version(self, published: Published) -> bytes:
        """What an anonymous visitor gets at the deployment's own hostname, which never shows another.

        Raises:
            TryAgain: the deployment is gone, or a login is in front of it.
        """
        kept = persistently(partial(self._kept, published.version), time.sleep, NoAnswer)
        if kept is None or not isinstance(kept.get("url"), str):
            raise TryAgain(f"Vercel does not show version {published.version} at a hostname of its own")
        return self.fetch(Published(_address(kept["url"]), published.version), "")

    def forget(self, stream_id: str) -> str:
        """The stream's project is gone, and with it its address and every version; asking twice is harmless.

        ``DELETE /v9/projects/{idOrName}`` of https://vercel.com/docs/rest-api: 204 when it was deleted, 404 when there
        is none.

        Raises:
            TryAgain: Vercel does not answer, or has it still.
        """
        path = f"/v9/projects/{project_name(self._prefix, stream_id)}"
        deleted = persistently(partial(self._vercel.ask, "DELETE", path, expected=(404,)), time.sleep, NoAnswer)
        seen = persistently(partial(self._vercel.ask, "GET", path, expected=(404,)), time.sleep, NoAnswer)
        if seen.status != 404:
            raise TryAgain(f"Vercel still has the project of {stream_id}")
        if deleted.status == 404:
            return "there is no project of this order (any more)"
        return "its project was deleted, with the address and every version of the page"

    def _seen(self, address: str) -> bytes:
        status, body = self._visitor.get(address)
        if status == 200:
            return body
        if status >= 500:
            raise NoAnswer(f"{address} answers {status}")
        if status in {401, 403} or 300 <= status < 400:
            raise TryAgain(f"{address} is not open to visitors ({status}): see the project's Deployment Protection")
        raise TryAgain(f"{address} is not there ({status})")

    def _project(self, stream_id: str) -> str:
        """The id of the stream's project, which asks no visitor for a login."""
        name = project_name(self._prefix, stream_id)
        found = self._vercel.ask("GET", f"/v9/projects/{name}", expected=(404,))
        if found.status == 404:
            wish = {"name": name, "framework": None, "ssoProtection": None}
            found = self._vercel.ask("POST", "/v11/projects", document=wish)
        project = found.text("id")
        if found.body.get("ssoProtection") is not None:
            self._vercel.ask("PATCH", f"/v9/projects/{project}", document={"ssoProtection": None})
        return project

    def _deployed(self, project: str, page: _Page, call: Call) -> tuple[str, bool]:
        """The id of a deployment of this page, and whether it was there already."""
        for seconds in PAUSES_SECONDS:
            twins = persistently(partial(self._twins, project, page), call.wait, NoAnswer)
            for twin in twins:
                if twin.get("state", twin.get("readyState")) not in FAILED and not twin.get("aliasError"):
                    return str(twin["uid"]), True
            try:
                return self._created(project, page, call, again=bool(twins)), False
            except NoAnswer:
                call.wait(seconds)  # it may have been made
        raise TryAgain("no answer from Vercel to the request for a deployment")

    def _twins(self, project: str, page: _Page) -> list[Mapping[str, Any]]:
        """The deployments of just this page, newest first. No order has more than the hundred of one answer."""
        query = {"projectId": project, "target": "production", "limit": "100"}
        listed = self._vercel.ask("GET", "/v7/deployments", query=query).body.get("deployments")
        return [each for each in listed or () if each.get("meta") == page.meta]

    def _created(self, project: str, page: _Page, call: Call, *, again: bool) -> str:
        """The id of a new deployment. Posted first: the answer names the files that Vercel does not have yet.

        ``again``: one that failed must not be answered for a new one.
        """
        query = {"skipAutoDetectionConfirmation": "1", **({"forceNew": "1"} if again else {})}
        wish = {
            "name": project_name(self._prefix, page.stream_id),
            "project": project,
            "target": "production",
            "files": page.listing,
            "projectSettings": STATIC,
            "meta": page.meta,
        }
        for _ in range(ROUNDS):
            answer = self._vercel.ask("POST", "/v13/deployments", query=query, document=wish, expected=(400,))
            if answer.status != 400:
                return answer.text("id")
            if answer.code != "missing_files":
                raise PersonDecides(f"Vercel does not accept the page ({answer.code or 400})")
            self._upload(page, answer.body["error"].get("missing", ()), call)
        raise TryAgain("Vercel asks for files that it was given")

    def _upload(self, page: _Page, missing: Iterable[str], call: Call) -> None:
        def upload(sha1: str) -> None:
            persistently(partial(self._vercel.upload, page.by_sha1[sha1].read_bytes(), sha1), call.wait, NoAnswer)

        with ThreadPoolExecutor(self._uploads_at_once) as pool:
            list(pool.map(upload, [sha1 for sha1 in missing if sha1 in page.by_sha1]))

    def _ready(self, deployment: str, call: Call) -> Mapping[str, Any]:
        """The deployment when it stands at its address."""
        look = partial(self._vercel.ask, "GET", f"/v13/deployments/{quote(deployment, safe='')}")
        for seconds in pauses(self._poll_seconds, self._patience_seconds):
            seen = persistently(look, call.wait, NoAnswer).body
            if seen.get("readyState") in FAILED or seen.get("aliasError"):
                raise _failure(seen)
            if seen.get("readyState") == "READY" and seen.get("aliasAssigned"):
                return seen
            call.wait(seconds)
        raise TryAgain(f"Vercel did not get {deployment} ready in {self._patience_seconds:.0f} seconds")

    def _kept(self, deployment: str) -> Mapping[str, Any] | None:
        """An earlier deployment, None when Vercel does not have it any more."""
        found = self._vercel.ask("GET", f"/v13/deployments/{quote(deployment, safe='')}", expected=(404, 410))
        return None if found.status in {404, 410} else found.body

    def _host(self, project: str, deployment: Mapping[str, Any], call: Call) -> str:
        """The project's own hostname, which shows one version after the other."""
        names = deployment.get("alias")
        if not names:
            found = persistently(partial(self._vercel.ask, "GET", f"/v9/projects/{project}"), call.wait, NoAnswer).body
            names = ((found.get("targets") or {}).get("production") or {}).get("alias")
        if not names:
            raise TryAgain("Vercel has not given the project an address yet")
        own = [name for name in names if name.endswith(".vercel.app")] or names
        return str(min(own, key=lambda name: (len(name), name)))

    def _point(self, host: str, deployment: str) -> None:
        """``host`` is given to this deployment."""
        path = f"/v2/deployments/{quote(deployment, safe='')}/aliases"
        answer = self._vercel.ask("POST", path, document={"alias": host}, expected=(409,), repeatable=True)
        if answer.status == 409 and host not in self._aliases(path):
            raise TryAgain(f"Vercel does not give {host} to {deployment} now ({answer.code or 409})")

    def _aliases(self, path: str) -> set[str]:
        """The hostnames that a deployment has."""
        listed = self._vercel.ask("GET", path).body.get("aliases")
        return {str(each["alias"]) for each in listed or ()}


@dataclass(frozen=True)
class _Page:
    """The files of one edition of a stream's page."""

    stream_id: str
    folder: Path

    @cached_property
    def meta(self) -> dict[str, str]:
        """What a deployment of this edition is known by."""
        return {"orderId": self.stream_id, "version": tree_sha256(self.folder)[:16]}

    @cached_property
    def by_sha1(self) -> dict[str, Path]:
        """A file for each content."""
        return {entry["sha"]: self.folder / entry["file"] for entry in self.listing}

    @cached_property
    def listing(self) -> list[dict[str, Any]]:
        """Every file as Vercel wants it named."""
        return [self._entry(path) for path in tree_files(self.folder)]

    def _entry(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            sha1 = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
        return {"file": path.relative_to(self.folder).as_posix(), "sha": sha1, "size": path.stat().st_size}


def project_name(prefix: str, stream_id: str) -> str:
    """A name Vercel accepts, readable and only this stream's; it is part of the page's address."""
    digest = hashlib.sha256(stream_id.encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9]+", "-", f"{prefix}-{stream_id}".lower())
    return f"{readable[: LONGEST_NAME - 9].strip('-')}-{digest}"


def _address(host: str) -> str:
    """Where a visitor goes. Only this machine has pages without TLS."""
    name = urlsplit(f"//{host}").hostname or ""
    is_here = name in {"localhost", "127.0.0.1"} or name.endswith(".localhost")
    return f"{'http' if is_here else 'https'}://{host}"


def _failure(deployment: Mapping[str, Any]) -> TryAgain | PersonDecides:
    """Why a page does not come up. Vercel's sentences are not quoted."""
    state = shown(deployment.get("readyState"))
    if state == "BLOCKED":
        code = shown((deployment.get("seatBlock") or {}).get("blockCode"))
        return PersonDecides(
            f"Vercel blocks the deployment ({code or state}): the token's owner needs a seat in the team"
        )
    if state in FAILED:
        code = shown(deployment.get("errorCode"))
        return TryAgain(f"the deployment ended {state} at Vercel ({code or 'no code'})")
    code = shown((deployment.get("aliasError") or {}).get("code"))
    return PersonDecides(f"Vercel does not give the page its address ({code or 'no code'}): see the project's domains")
