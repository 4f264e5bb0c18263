"""The fake Vercel, driven by requests, and its pages, opened by an anonymous visitor."""

from __future__ import annotations

import hashlib
import time
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from fakes import vercel as faults
from fakes import vercel_documents
from fakes.service import FOR_EVER, Fault
from fakes.vercel import FakeVercel

if TYPE_CHECKING:
    from collections.abc import Iterator

TEAM = "team_1"
PAGE = b"<!doctype html><title>Order 1</title>" + b"<p>A line of the story.</p>" * 50
FRAME = bytes(range(256)) * 8
SETTINGS = {"framework": None, "buildCommand": None, "installCommand": None, "outputDirectory": None}


class Account(requests.Session):
    """Calls the API as the owner of the team."""

    def __init__(self, vercel: FakeVercel) -> None:
        super().__init__()
        self._base_url = vercel.base_url
        self.headers["Authorization"] = f"Bearer {vercel.token}"
        self.params = {"teamId": TEAM}

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """The answer's document; it must be a 200."""
        answer = self.refused(method, path, **arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """The answer, whatever it is."""
        return self.request(method, self._base_url + path, timeout=5, **arguments)

    def upload(self, content: bytes) -> str:
        digest = sha1(content)
        headers = {"x-vercel-digest": digest, "Content-Type": "application/octet-stream"}
        self.call("POST", "/v2/files", data=content, headers=headers)
        return digest

    def deploy(self, page: bytes = PAGE, **changes: Any) -> Any:
        """Uploads a page and a frame and deploys them to production."""
        self.upload(page)
        self.upload(FRAME)
        return self.call("POST", "/v13/deployments", json=deployment(page, **changes))

    def see(self, deployment_id: str) -> Any:
        return self.call("GET", f"/v13/deployments/{deployment_id}")


def sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def deployment(page: bytes = PAGE, **changes: Any) -> dict[str, Any]:
    """What a create says."""
    files = [
        {"file": "index.html", "sha": sha1(page), "size": len(page)},
        {"file": "frames/0001.webp", "sha": sha1(FRAME), "size": len(FRAME)},
    ]
    settled = {"name": "order-1", "target": "production", "files": files, "projectSettings": SETTINGS}
    return settled | {"meta": {"orderId": "ord_1"}} | changes


def visit(host: str, path: str = "/", **arguments: Any) -> requests.Response:
    return requests.get(f"http://{host}{path}", timeout=5, **arguments)


@pytest.fixture
def vercel() -> Iterator[FakeVercel]:
    with FakeVercel(team_id=TEAM) as service:
        yield service


@pytest.fixture
def account(vercel: FakeVercel) -> Account:
    return Account(vercel)


@pytest.fixture
def project(account: Account) -> Any:
    """A public project."""
    return account.call("POST", "/v11/projects", json={"name": "order-1", "framework": None, "ssoProtection": None})


def test_only_missing_files_are_asked_for(vercel: FakeVercel, account: Account, project: Any) -> None:
    account.upload(PAGE)
    answer = account.refused("POST", "/v13/deployments?skipAutoDetectionConfirmation=1", json=deployment())
    assert answer.status_code == 400
    assert answer.json()["error"] == {"code": "missing_files", "message": "Missing files", "missing": [sha1(FRAME)]}
    assert (vercel.violations, vercel.deployments) == ([], {})


def test_visitors_see_the_files_that_were_deployed(vercel: FakeVercel, account: Account, project: Any) -> None:
    made = account.deploy()
    for host in (made["url"], *account.see(made["id"])["alias"]):
        page, frame = visit(host), visit(host, "/frames/0001.webp")
        assert (page.content, page.headers["content-type"]) == (PAGE, "text/html; charset=utf-8")
        assert (frame.content, frame.headers["content-type"]) == (FRAME, "image/webp")
        assert int(page.headers["content-length"]) < len(PAGE)  # compressed
        assert visit(host, "/nothing").status_code == 404
    assert vercel.visit_authorizations == []


def test_a_deployment_becomes_ready_and_then_gets_its_alias(
    vercel: FakeVercel, account: Account, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = count(time.time())
    for module in (faults, vercel_documents):  # each look at the clock is a second later
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: next(seconds)))
    vercel.deploy_latency_seconds, vercel.alias_latency_seconds = 30, 15
    made = account.deploy()
    seen = [(made["readyState"], made["aliasAssigned"])]
    while seen[-1] != ("READY", True):
        document = account.see(made["id"])
        seen.append((document["readyState"], document["aliasAssigned"]))
    assert list(dict.fromkeys(seen)) == [("QUEUED", False), ("BUILDING", False), ("READY", False), ("READY", True)]


def test_new_projects_are_behind_a_login_until_told_otherwise(account: Account) -> None:
    account.call("POST", "/v11/projects", json={"name": "order-1"})
    made = account.deploy()
    hosts = [made["url"], *account.see(made["id"])["alias"]]
    assert [visit(host).status_code for host in hosts] == [401, 401]
    account.call("PATCH", "/v9/projects/order-1", json={"ssoProtection": None})
    assert [visit(host).content for host in hosts] == [PAGE, PAGE]


def test_the_login_may_be_a_redirect_that_ends_in_a_200(vercel: FakeVercel, account: Account) -> None:
    vercel.login_redirects = True
    made = account.deploy()
    assert visit(made["url"], allow_redirects=False).status_code == 302
    followed = visit(made["url"])
    assert followed.status_code == 200
    assert b"Log in" in followed.content


def test_standard_protection_leaves_the_production_domain_open(vercel: FakeVercel, account: Account) -> None:
    vercel.default_protection = "prod_deployment_urls_and_all_previews"
    made = account.deploy()
    (host,) = account.see(made["id"])["alias"]
    assert (visit(made["url"]).status_code, visit(host).status_code) == (401, 200)


def test_the_production_domain_shows_the_latest_and_can_be_pointed_back(account: Account, project: Any) -> None:
    first = account.deploy()
    second = account.deploy(b"<title>Second version</title>")
    (host,) = account.call("GET", "/v9/projects/order-1")["targets"]["production"]["alias"]
    assert (visit(host).content, visit(first["url"]).content) == (b"<title>Second version</title>", PAGE)
    moved = account.call("POST", f"/v2/deployments/{first['id']}/aliases", json={"alias": host})
    assert (moved["oldDeploymentId"], visit(host).content) == (second["id"], PAGE)
    assert [item["alias"] for item in account.call("GET", f"/v2/deployments/{first['id']}/aliases")["aliases"]] == [
        host
    ]


def test_an_identical_deployment_is_not_made_twice_unless_forced(account: Account, project: Any) -> None:
    first, again = account.deploy(), account.deploy()
    forced = account.call("POST", "/v13/deployments?forceNew=1", json=deployment())
    assert first["id"] == again["id"] != forced["id"]


def test_a_lost_create_is_found_by_project_time_and_meta(vercel: FakeVercel, account: Account, project: Any) -> None:
    account.deploy(b"<title>Older</title>", meta={"orderId": "older"})
    time.sleep(0.01)
    since = int(time.time() * 1000)
    vercel.fail_next(Fault.lose_reply())
    with pytest.raises(requests.ConnectionError):
        account.deploy()
    listed = account.call("GET", "/v7/deployments", params={"projectId": project["id"], "since": since})
    assert [(item["meta"], item["state"]) for item in listed["deployments"]] == [({"orderId": "ord_1"}, "READY")]
    assert account.see(listed["deployments"][0]["uid"])["aliasAssigned"] is True


def test_a_deleted_deployment_is_gone(account: Account, project: Any) -> None:
    made = account.deploy()
    (host,) = account.see(made["id"])["alias"]
    deleted = account.call("DELETE", f"/v13/deployments/{made['id']}")
    assert deleted == {"uid": made["id"], "state": "DELETED"}
    assert visit(host).status_code == visit(made["url"]).status_code == 410
    assert account.refused("GET", f"/v13/deployments/{made['id']}").status_code == 410


def test_a_build_can_be_canceled(vercel: FakeVercel, account: Account, project: Any) -> None:
    vercel.deploy_latency_seconds = 60
    made = account.deploy()
    assert account.call("PATCH", f"/v12/deployments/{made['id']}/cancel")["readyState"] == "CANCELED"
    assert account.deploy()["id"] != made["id"]


def test_a_name_is_taken_once_and_an_add_on_is_not_free(account: Account, project: Any) -> None:
    assert account.refused("POST", "/v11/projects", json={"name": "order-1"}).status_code == 409
    wish = {"passwordProtection": {"deploymentType": "all", "password": "x"}}
    assert account.refused("PATCH", "/v9/projects/order-1", json=wish).status_code == 428


def test_the_first_deployment_needs_settings_and_all_need_files(account: Account, project: Any) -> None:
    account.upload(PAGE)
    account.upload(FRAME)
    bare = {name: value for name, value in deployment().items() if name != "projectSettings"}
    codes = [
        account.refused("POST", "/v13/deployments", json=body).json()["error"]["code"]
        for body in (bare, deployment(files=[]))
    ]
    assert codes == ["missing_project_settings", "no_files"]
    account.call("POST", "/v13/deployments", json=deployment())
    account.call("POST", "/v13/deployments", json=bare)


def test_files_may_be_sent_along_and_a_framework_is_built(account: Account, project: Any) -> None:
    inline = [{"file": "index.html", "data": "aGVsbG8=", "encoding": "base64"}]
    made = account.call("POST", "/v13/deployments", json=deployment(files=inline))
    assert visit(made["url"]).content == b"hello"
    built = account.deploy(files=[*inline, {"file": "package.json", "data": "{}"}])
    assert account.see(built["id"])["readyState"] == "ERROR"


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("/v13/deployments", {"json": {"name": "order-1", "public": True}}),
        ("/v13/deployments", {"json": deployment(files=[{"file": "/index.html", "data": "x"}])}),
        ("/v13/deployments", {"json": deployment(files=[{"file": "index.html", "sha": "0" * 40}])}),
        ("/v13/deployments?public=1", {"json": deployment()}),
        ("/v13/deployments", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}),
        ("/v11/projects", {"json": {"name": "Upper Case"}}),
        ("/v2/files", {"data": b"x", "headers": {"Content-Type": "application/octet-stream"}}),
        (
            "/v2/files",
            {"data": b"x", "headers": {"Content-Type": "application/octet-stream", "x-vercel-digest": "0" * 40}},
        ),
    ],
)
def test_a_request_outside_the_contract_is_refused_and_remembered(
    vercel: FakeVercel, account: Account, path: str, arguments: dict[str, Any]
) -> None:
    answer = account.refused("POST", path, **arguments)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert len(vercel.violations) == 1


def test_a_path_nobody_knows_is_remembered(vercel: FakeVercel, account: Account) -> None:
    assert account.refused("GET", "/v6/deployments").status_code == 404
    assert vercel.violations == ["GET /v6/deployments: GET /v6/deployments: no such operation"]


def test_strangers_and_calls_without_the_team_are_refused(vercel: FakeVercel, account: Account) -> None:
    account.params = {}
    assert account.refused("GET", "/v9/projects/order-1").status_code == 403
    assert vercel.violations == ["getProject: teamId is missing or another's"]
    account.headers["Authorization"] = "Bearer wrong"
    assert account.refused("GET", "/v9/projects/order-1").json()["error"]["code"] == "forbidden"
    assert len(vercel.violations) == 1


@pytest.mark.parametrize(
    ("fault", "status", "code", "retry_after"),
    [
        (Fault.status(401), 401, "unauthorized", None),
        (Fault.status(403), 403, "forbidden", None),
        (Fault.status(429, retry_after="2"), 429, "rate_limited", "2"),
        (Fault.status(500), 500, "internal_server_error", None),
        (Fault.status(503), 503, "service_unavailable", None),
    ],
)
def test_an_error_is_answered_once_and_deploys_nothing(
    vercel: FakeVercel, account: Account, project: Any, fault: Fault, status: int, code: str, retry_after: str | None
) -> None:
    vercel.fail_next(fault)
    answer = account.refused("POST", "/v13/deployments", json=deployment())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers.get("retry-after") == retry_after
    assert vercel.deployments == {}
    account.deploy()


@pytest.mark.parametrize(
    ("fault", "state", "mark"),
    [
        (faults.blocked(), "BLOCKED", "seatBlock"),
        (faults.build_error(), "ERROR", "errorCode"),
        (faults.build_canceled(), "CANCELED", "url"),
        (faults.alias_error(), "READY", "aliasError"),
    ],
)
def test_a_deployment_may_end_badly(
    vercel: FakeVercel, account: Account, project: Any, fault: Fault, state: str, mark: str
) -> None:
    vercel.fail_next(fault)
    seen = account.see(account.deploy()["id"])
    assert (seen["readyState"], seen["aliasAssigned"], seen["alias"]) == (state, False, [])
    assert seen[mark]
    again = account.deploy()
    assert again["id"] != seen["id"]


def test_a_visit_may_go_wrong_in_three_ways(vercel: FakeVercel, account: Account, project: Any) -> None:
    host = account.deploy()["url"]
    for fault in (faults.protected(), faults.wrong_page()):
        vercel.fail_next(fault)
    vercel.fail_next(faults.file_missing(), "/frames/0001", times=FOR_EVER)
    assert visit(host).status_code == 401
    assert b"Another story" in visit(host).content
    assert visit(host).content == PAGE
    assert visit(host, "/frames/0001.webp").status_code == 404


def test_an_alias_may_lag_behind_what_the_api_says(vercel: FakeVercel, account: Account, project: Any) -> None:
    account.deploy(b"<title>Old</title>")
    vercel.fail_next(faults.stale_alias(0.3))
    made = account.see(account.deploy()["id"])
    (host,) = made["alias"]
    assert (made["aliasAssigned"], visit(host).content) == (True, b"<title>Old</title>")
    time.sleep(0.35)
    assert visit(host).content == PAGE


def test_a_deleted_project_takes_its_pages_along_and_its_name_is_free_again(
    vercel: FakeVercel, account: Account, project: Any
) -> None:
    host = account.deploy()["url"]

    assert account.refused("DELETE", f"/v9/projects/{project['name']}").status_code == 204
    assert account.refused("DELETE", f"/v9/projects/{project['name']}").status_code == 404

    assert visit(host).status_code == 410
    assert account.refused("GET", f"/v9/projects/{project['id']}").status_code == 404
    assert account.call("POST", "/v11/projects", json={"name": project["name"]})["id"] != project["id"]
