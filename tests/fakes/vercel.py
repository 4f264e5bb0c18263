"""Stands for Vercel: projects, content-addressed files, deployments, aliases, and the pages as visitors see them.

Nothing on loopback can be called ``name.vercel.app``, so every hostname the fake gives out is ``127.0.0.1:port`` with
a port of its own. Like the real ones they come without a scheme; one with a port is opened with ``http``.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from uuid import uuid4

from fakes.http_server import Answer, Request
from fakes.service import Call, FakeService, Fault
from fakes.vercel_documents import describe, describe_alias, describe_in_list
from fakes.vercel_pages import Deployment, Hosts, Project, visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_CODES = {400: "bad_request", 401: "unauthorized", 402: "payment_required", 403: "forbidden", 404: "not_found"} | {
    409: "conflict",
    410: "gone",
    428: "precondition_required",
    429: "rate_limited",
    503: "service_unavailable",
}
_VISIT = frozenset({"visit"})
_BUILT_BY = {"package.json", "next.config.js", "vite.config.js"}
_PROJECT_NAME = re.compile(r"(?!.*---)[a-z0-9._-]{1,100}")


def blocked() -> Fault:
    """The next deployment ends BLOCKED."""
    return Fault(outcome="BLOCKED", detail="The author has no seat in this team.")


def build_error() -> Fault:
    """The next deployment ends in ERROR."""
    return Fault(outcome="ERROR", detail="The build failed.")


def build_canceled() -> Fault:
    """The next deployment is canceled by somebody."""
    return Fault(outcome="CANCELED", detail="Canceled by a member of the team.")


def alias_error() -> Fault:
    """The next deployment is READY but never gets its alias."""
    return Fault(outcome="alias_error", detail="The alias is already in use.")


def stale_alias(seconds: float) -> Fault:
    """The next alias is reported as assigned ``seconds`` before visitors see it."""
    return Fault(outcome="stale", detail=str(seconds), operations=frozenset({"createDeployment", "assignAlias"}))


def protected() -> Fault:
    """The next visit ends at the login page, whatever the project says."""
    return Fault(outcome="protected", operations=_VISIT)


def wrong_page() -> Fault:
    """The next visit sees another order's page."""
    return Fault(outcome="wrong_page", operations=_VISIT)


def file_missing() -> Fault:
    """The next visit (give its path as the match) finds nothing."""
    return Fault(refused=404, operations=_VISIT)


class FakeVercel(FakeService):
    """The API, and every hostname it gives out. ``default_protection`` is what a new project has unless it says no.

    ``login_redirects``: protected pages answer 302 to a login page instead of 401 with it.
    """

    name = "vercel"
    main_operations = frozenset({"createDeployment"})

    def __init__(
        self,
        *,
        token: str = "planted-vercel-token",  # noqa: S107 - obviously no secret
        team_id: str = "",
        upload_latency_seconds: float = 0.0,
        deploy_latency_seconds: float = 0.0,
        alias_latency_seconds: float = 0.0,
        default_protection: str = "all_except_custom_domains",
        login_redirects: bool = False,
    ) -> None:
        super().__init__()
        self.token = token
        self.team_id = team_id
        self.upload_latency_seconds = upload_latency_seconds
        self.deploy_latency_seconds = deploy_latency_seconds
        self.alias_latency_seconds = alias_latency_seconds
        self.default_protection = default_protection
        self.login_redirects = login_redirects
        self.files: dict[str, bytes] = {}
        self.projects: dict[str, Project] = {}
        self.deployments: dict[str, Deployment] = {}
        self.visit_authorizations: list[str] = []
        """The Authorization headers visitors sent: there should be none."""
        self._hosts = Hosts()
        self._visitors = self.beside("visit", self._visit)
        self.handlers = {
            "uploadFile": self._upload,
            "createProject": self._create_project,
            "getProject": self._get_project,
            "updateProject": self._update_project,
            "deleteProject": self._delete_project,
            "createDeployment": self._deploy,
            "getDeployment": self._get_deployment,
            "getDeployments": self._list,
            "deleteDeployment": self._delete,
            "cancelDeployment": self._cancel,
            "listDeploymentAliases": self._list_aliases,
            "assignAlias": self._assign_alias,
        }

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._visitors.stop()
        super().__exit__(kind, *rest)

    # Checks

    def read_body(self, request: Request) -> Any:
        return None if request.headers.get("content-type") == "application/octet-stream" else super().read_body(request)

    def stranger(self, call: Call) -> Answer | None:
        if call.request.headers.get("authorization") != f"Bearer {self.token}":
            return self.error(403, message="Not authorized")
        if self.team_id and _query(call).get("teamId") != self.team_id:
            self.violations.append(f"{call.operation}: teamId is missing or another's")
            return self.error(403, message="Not authorized")
        return None

    def further_problems(self, call: Call) -> Iterator[str]:
        if call.operation == "uploadFile":
            digest = hashlib.sha1(call.request.body, usedforsecurity=False).hexdigest()
            if digest != call.request.headers["x-vercel-digest"]:
                yield "x-vercel-digest is not the SHA-1 of the body"
        if call.operation in {"createProject", "createDeployment"} and not _PROJECT_NAME.fullmatch(
            call.document["name"]
        ):
            yield "name: lower-case letters, digits, dots, dashes, underscores, up to 100, without ---"
        if call.operation == "createDeployment":
            yield from (f"file {item['file']!r} is no relative path" for item in _files(call) if _strays(item["file"]))

    def error(self, status: int, message: str = "", code: str = "", retry_after: str = "") -> Answer:
        """Vercel's error body."""
        error: dict[str, Any] = {
            "code": code or _CODES.get(status, "internal_server_error"),
            "message": message or HTTPStatus(status).phrase,
        }
        if status == 429:
            reset = time.time() + float(retry_after or 30)
            error["limit"] = {"remaining": 0, "reset": int(reset), "resetMs": int(reset * 1000), "total": 500}
        headers = {"retry_after": retry_after} if retry_after else {}
        return Answer.of_json(status, {"error": error}, **headers)

    # Files and projects

    def _upload(self, call: Call) -> Answer:
        digest = call.request.headers["x-vercel-digest"]
        self.files[digest] = call.request.body
        answer = Answer.of_json(200, {"urls": []})
        answer.wait_seconds = self.upload_latency_seconds
        return answer

    def _create_project(self, call: Call) -> Answer:
        if self._project(call.document["name"]):
            return self.error(409, message="Project already exists, please use a new name.")
        if call.document.get("passwordProtection"):
            return self.error(428, message="Password protection is an add-on.")
        return Answer.of_json(200, self._describe_project(self._add_project(call.document["name"], call.document)))

    def _add_project(self, name: str, wishes: Mapping[str, Any]) -> Project:
        protection = wishes.get("ssoProtection", {"deploymentType": self.default_protection})
        project = Project(f"prj_{uuid4().hex[:24]}", name, self._visitors.open_port(), protection)
        self.projects[project.id] = project
        return project

    def _get_project(self, call: Call) -> Answer:
        project = self._project(call.parameters["idOrName"])
        return Answer.of_json(200, self._describe_project(project)) if project else self._not_found("project")

    def _update_project(self, call: Call) -> Answer:
        project = self._project(call.parameters["idOrName"])
        if project is None:
            return self._not_found("project")
        if call.document.get("passwordProtection"):
            return self.error(428, message="Password protection is an add-on.")
        project.sso_protection = call.document.get("ssoProtection", project.sso_protection)
        return Answer.of_json(200, self._describe_project(project))

    def _delete_project(self, call: Call) -> Answer:
        project = self._project(call.parameters["idOrName"])
        if project is None:
            return self._not_found("project")
        del self.projects[project.id]
        for deployment in self.deployments.values():
            deployment.deleted = deployment.deleted or deployment.project is project
        return Answer(204)

    def _project(self, id_or_name: str) -> Project | None:
        return next((item for item in self.projects.values() if id_or_name in {item.id, item.name}), None)

    def _describe_project(self, project: Project) -> dict[str, Any]:
        now = time.time()
        shown = self._hosts.shown(project.host, now)
        production = shown and {
            "id": shown.id,
            "alias": [project.host],
            "url": shown.host,
            "readyState": shown.state(now),
        }
        return {
            "id": project.id,
            "accountId": self.team_id or "user_1",
            "name": project.name,
            "framework": None,
            "ssoProtection": project.sso_protection,
            "passwordProtection": None,
            "live": False,
            "targets": {"production": production} if production else {},
        }

    # Deployments

    def _deploy(self, call: Call) -> Answer:
        wishes = call.document
        project = self._project(wishes.get("project", wishes["name"]))
        if project is None and "project" in wishes:
            return self._not_found("project")
        project = project or self._add_project(wishes["name"], {})
        refusal = self._settings_refusal(project, wishes) or self._files_refusal(_files(call))
        return refusal or Answer.of_json(200, describe(self._existing(call, project) or self._add(call, project)))

    def _settings_refusal(self, project: Project, wishes: Mapping[str, Any]) -> Answer | None:
        project.settings = wishes.get("projectSettings", project.settings)
        if project.settings is None:
            return self.error(400, code="missing_project_settings", message="The project has no settings yet")
        return None

    def _files_refusal(self, files: list[dict[str, Any]]) -> Answer | None:
        if not files:
            return self.error(400, code="no_files", message="No files in the deployment")
        missing = sorted({item["sha"] for item in files if "sha" in item} - self.files.keys())
        if missing:
            return Answer.of_json(
                400, {"error": {"code": "missing_files", "message": "Missing files", "missing": missing}}
            )
        if any("sha" in item and item["size"] != len(self.files[item["sha"]]) for item in files):
            self.violations.append("createDeployment: a file's size is not the uploaded one's")
            return self.error(400, message="The size of a file does not match")
        return None

    def _stored(self, item: Mapping[str, Any]) -> str:
        """The SHA-1 of a file of a deployment; one sent along is kept first."""
        if "sha" in item:
            return str(item["sha"])
        content = base64.b64decode(item["data"]) if item.get("encoding") == "base64" else item["data"].encode()
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        self.files[digest] = content
        return digest

    def _existing(self, call: Call, project: Project) -> Deployment | None:
        """An identical deployment that lives, which is answered instead of a new one."""
        if _query(call).get("forceNew") == "1":
            return None
        files = {item["file"]: self._stored(item) for item in _files(call)}
        same = (project.id, call.document.get("target"), files)
        return next(
            (
                item
                for item in self.deployments.values()
                if (item.project.id, item.target, item.files) == same and not item.is_lost()
            ),
            None,
        )

    def _add(self, call: Call, project: Project) -> Deployment:
        wishes, now = call.document, time.time()
        files = {item["file"]: self._stored(item) for item in _files(call)}
        ready = now + self.deploy_latency_seconds
        deployment = Deployment(
            id=f"dpl_{uuid4().hex[:28]}",
            project=project,
            host=self._visitors.open_port(),
            files=files,
            meta=dict(wishes.get("meta", {})),
            target=wishes.get("target"),
            created=now,
            ready_at=ready,
            alias_at=ready + self.alias_latency_seconds,
            outcome="ERROR" if _BUILT_BY & files.keys() else call.fault.outcome.replace("stale", ""),
            detail=call.fault.detail,
        )
        self.deployments[deployment.id] = deployment
        self._hosts.point(deployment.host, deployment, now)
        if deployment.target == "production" and not deployment.outcome:
            self._hosts.point(project.host, deployment, deployment.alias_at + _staleness(call.fault))
        return deployment

    def _get_deployment(self, call: Call) -> Answer:
        return self._with_deployment(call, lambda found: Answer.of_json(200, describe(found)))

    def _with_deployment(self, call: Call, act: Callable[[Deployment], Answer]) -> Answer:
        """What ``act`` makes of the deployment named by id or hostname, if there is one."""
        wanted = next(iter(call.parameters.values()))
        found = next((item for item in self.deployments.values() if wanted in {item.id, item.host}), None)
        if found is None:
            return self._not_found("deployment")
        return self.error(410, message="The deployment was deleted") if found.deleted else act(found)

    def _cancel(self, call: Call) -> Answer:
        return self._with_deployment(call, self._cancel_build)

    def _cancel_build(self, deployment: Deployment) -> Answer:
        if deployment.state(time.time()) not in {"QUEUED", "BUILDING"}:
            return self.error(400, message="The deployment is not being built")
        deployment.canceled_at = time.time()
        return Answer.of_json(200, describe(deployment))

    def _delete(self, call: Call) -> Answer:
        def delete(deployment: Deployment) -> Answer:
            deployment.deleted = True
            return Answer.of_json(200, {"uid": deployment.id, "state": "DELETED"})

        return self._with_deployment(call, delete)

    def _list(self, call: Call) -> Answer:
        query = _query(call)
        project = self._project(query["projectId"]) if "projectId" in query else None
        since, until = float(query.get("since", 0)), float(query.get("until", "inf"))
        found = [
            describe_in_list(item)
            for item in reversed(self.deployments.values())
            if not item.deleted
            and since <= item.created * 1000 < until
            and ("projectId" not in query or item.project is project)
            and query.get("app", item.project.name) == item.project.name
            and query.get("target", item.target) == item.target
            and item.state(time.time()) in query.get("state", item.state(time.time())).split(",")
        ]
        page = found[: int(query.get("limit", 20))]
        following = page[-1]["created"] if len(page) < len(found) else None
        return Answer.of_json(
            200, {"deployments": page, "pagination": {"count": len(page), "next": following, "prev": None}}
        )

    # Aliases and visitors

    def _list_aliases(self, call: Call) -> Answer:
        def names(deployment: Deployment) -> Answer:
            hosts = {deployment.project.host, *deployment.aliases}
            shown = [host for host in sorted(hosts) if self._hosts.shown(host, time.time()) is deployment]
            return Answer.of_json(200, {"aliases": [describe_alias(host) for host in shown]})

        return self._with_deployment(call, names)

    def _assign_alias(self, call: Call) -> Answer:
        def assign(deployment: Deployment) -> Answer:
            host, now = call.document["alias"], time.time()
            if deployment.state(now) != "READY":
                return self.error(400, code="deployment_not_ready", message="The deployment is not ready")
            before = self._hosts.shown(host, now)
            deployment.aliases.append(host)
            self._hosts.point(host, deployment, now + _staleness(call.fault))
            return Answer.of_json(200, describe_alias(host) | {"oldDeploymentId": before.id if before else None})

        return self._with_deployment(call, assign)

    def _visit(self, call: Call) -> Answer:
        request = call.request
        if "authorization" in request.headers:
            self.visit_authorizations.append(request.headers["authorization"])
        shown = self._hosts.shown(request.headers.get("host", ""), time.time())
        return visit(shown, self.files, request, call.fault.outcome, redirects=self.login_redirects)

    def _not_found(self, what: str) -> Answer:
        return self.error(404, message=f"Could not find the {what}")


def _query(call: Call) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(call.request.query).items()}


def _files(call: Call) -> list[dict[str, Any]]:
    return list(call.document.get("files", []))


def _strays(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/")


def _staleness(fault: Fault) -> float:
    return float(fault.detail) if fault.outcome == "stale" else 0.0
