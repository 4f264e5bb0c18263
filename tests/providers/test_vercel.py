"""Pages on Vercel over HTTP: published once, open to everybody, at an address that stays."""

from __future__ import annotations

import re
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from fakes import http_server
from fakes.service import FOR_EVER, Fault
from fakes.vercel import FakeVercel, alias_error, blocked, build_canceled, build_error, file_missing, protected

from downstream.domain.errors import DownstreamError, Misconfigured, OnHold, PersonDecides, Throttled, TryAgain
from downstream.domain.ports import Published
from downstream.providers.vercel import VercelHosting
from downstream.providers.vercel.hosting import project_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Answer = TypeVar("Answer")

CREATE = "createDeployment"
MARKER = "the planted marker"


class Killed(BaseException):
    """The process ended here."""


@dataclass
class OpenGate:
    """Lets everybody through, and sends again at once what was throttled."""

    hints: list[float | None] = field(default_factory=list)
    creates: int = 0

    def run(self, send: Callable[[], Answer], *, creates: bool = True) -> Answer:
        """As ``Gate.run``."""
        self.creates += creates
        while True:
            try:
                return send()
            except Throttled as error:
                self.hints.append(error.hint_seconds)


@dataclass
class PaperCall:
    """A call of a run that survives ``lives`` notes and waits."""

    lives: int = 1_000_000
    facts: dict[str, Any] = field(default_factory=dict)
    lock_descriptors: tuple[int, ...] = ()
    attempt: int = 1
    key: str = "order-publish-0123456789ab-1"
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cost: tuple[int, bool] | None = None

    def note(self, **facts: Any) -> None:
        """As ``Call.note``; a run may end just before or just after."""
        self._live()
        self.facts.update(facts)
        self._live()

    def spent(self, cost_micros: int, *, exact: bool = True) -> None:
        """As ``Call.spent``."""
        self.cost = (cost_micros, exact)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def check(self) -> None:
        """The order may spend money."""

    def wait(self, seconds: float) -> None:
        """As ``Call.wait``, in much less time."""
        self._live()
        time.sleep(min(seconds, 0.01))

    def _live(self) -> None:
        if self.lives == 0:
            raise Killed
        self.lives -= 1


@pytest.fixture
def vercel() -> Iterator[FakeVercel]:
    with FakeVercel(team_id="team_planted") as fake:
        yield fake
        assert fake.violations == []
        assert fake.visit_authorizations == []


@pytest.fixture
def gate() -> OpenGate:
    return OpenGate()


@pytest.fixture
def hosting(vercel: FakeVercel, gate: OpenGate) -> VercelHosting:
    return VercelHosting(vercel.token, vercel.team_id, vercel.base_url, gate, patience_seconds=40.0)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page whose last two files have the same content."""
    folder = tmp_path / "page"
    (folder / "frames").mkdir(parents=True)
    (folder / "index.html").write_text(f"<!doctype html><title>{MARKER}</title>")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "frames" / "é 1.jpg").write_bytes(bytes(range(256)))
    (folder / "frames" / "2.jpg").write_bytes(b"the same")
    (folder / "frames" / "3.jpg").write_bytes(b"the same")
    return folder


def change(page: Path, words: str = "second") -> None:
    (page / "index.html").write_text(f"<!doctype html><title>{words}</title>")


def test_a_page_is_shown_to_anybody_byte_for_byte(vercel: FakeVercel, hosting: VercelHosting, page: Path) -> None:
    call = PaperCall()

    published = hosting.publish("order", page, call)

    assert published.version in vercel.deployments
    assert hosting.fetch(published, "") == (page / "index.html").read_bytes()
    for path in (path for path in page.rglob("*") if path.is_file()):
        assert hosting.fetch(published, str(path.relative_to(page))) == path.read_bytes()
    assert call.cost == (0, True)


def test_a_new_project_asks_nobody_for_a_login(hosting: VercelHosting, vercel: FakeVercel, page: Path) -> None:
    hosting.publish("order", page, PaperCall())

    assert [project.sso_protection for project in vercel.projects.values()] == [None]


def test_a_project_that_asks_for_a_login_is_opened(hosting: VercelHosting, vercel: FakeVercel, page: Path) -> None:
    published = hosting.publish("order", page, PaperCall())
    next(iter(vercel.projects.values())).sso_protection = {"deploymentType": "all"}
    with pytest.raises(TryAgain):
        hosting.fetch(published, "")

    hosting.publish("order", page, PaperCall())

    assert hosting.fetch(published, "") == (page / "index.html").read_bytes()


def test_every_content_is_uploaded_once(hosting: VercelHosting, vercel: FakeVercel, page: Path) -> None:
    hosting.publish("order", page, PaperCall())
    uploaded = [call.request.headers["x-vercel-digest"] for call in vercel.calls_of("uploadFile")]

    change(page)
    hosting.publish("order", page, PaperCall())

    assert len(uploaded) == len(set(uploaded)) == 4
    assert len(vercel.calls_of("uploadFile")) == 5


def test_only_what_creates_something_counts_as_a_create(
    hosting: VercelHosting, vercel: FakeVercel, gate: OpenGate, page: Path
) -> None:
    hosting.publish("order", page, PaperCall())

    assert gate.creates == len(vercel.calls_of("createProject", CREATE)) == 3


def test_files_are_uploaded_side_by_side(hosting: VercelHosting, vercel: FakeVercel, page: Path) -> None:
    vercel.upload_latency_seconds = 2.0  # so long that the last begins before the first is through, on any machine

    hosting.publish("order", page, PaperCall())

    assert vercel.most_at_once["uploadFile"] == 4


def test_the_same_page_is_published_once(hosting: VercelHosting, vercel: FakeVercel, page: Path) -> None:
    first = hosting.publish("order", page, PaperCall())

    again = hosting.publish("order", page, PaperCall())

    assert again == first
    assert len(vercel.deployments) == 1


def test_a_new_version_has_the_same_address_and_the_old_one_is_kept(
    hosting: VercelHosting, vercel: FakeVercel, page: Path
) -> None:
    first = hosting.publish("order", page, PaperCall())
    change(page)

    second = hosting.publish("order", page, PaperCall())

    assert second.address == first.address
    assert b"second" in hosting.fetch(second, "")
    assert set(vercel.deployments) == {first.version, second.version}


def test_an_earlier_version_can_be_shown_again_and_published_over(hosting: VercelHosting, page: Path) -> None:
    first = hosting.publish("order", page, PaperCall())
    change(page)
    second = hosting.publish("order", page, PaperCall())
    call = PaperCall()

    restored = hosting.restore("order", first.version, call)

    assert (restored, call.cost) == (first, (0, True))
    assert MARKER.encode() in hosting.fetch(restored, "")
    assert hosting.publish("order", page, PaperCall()) == second
    assert b"second" in hosting.fetch(second, "")
    change(page, "third")
    assert b"third" in hosting.fetch(hosting.publish("order", page, PaperCall()), "")


def test_each_version_has_a_place_of_its_own_whatever_the_address_shows(hosting: VercelHosting, page: Path) -> None:
    first = hosting.publish("order", page, PaperCall())
    change(page)
    second = hosting.publish("order", page, PaperCall())

    assert MARKER.encode() in hosting.fetch_version(first)
    assert hosting.fetch_version(second) == hosting.fetch(first, "")


def test_a_version_that_is_gone_has_no_place_of_its_own(hosting: VercelHosting, vercel: FakeVercel, page: Path) -> None:
    published = hosting.publish("order", page, PaperCall())
    vercel.deployments[published.version].deleted = True

    with pytest.raises(TryAgain, match="hostname of its own"):
        hosting.fetch_version(published)


@pytest.mark.parametrize("shows", ["first", "second"])
def test_a_conflict_over_the_address_is_settled_by_what_the_version_is_called(
    hosting: VercelHosting, vercel: FakeVercel, page: Path, shows: str
) -> None:
    first = hosting.publish("order", page, PaperCall())
    change(page)
    second = hosting.publish("order", page, PaperCall())
    vercel.fail_next(Fault.status(409), operations={"assignAlias"})

    if shows == "second":
        assert hosting.restore("order", second.version, PaperCall()) == second
    else:
        with pytest.raises(TryAgain, match=rf"does not give .* to {first.version} now \(conflict\)"):
            hosting.restore("order", first.version, PaperCall())
    assert b"second" in hosting.fetch(second, "")


@pytest.mark.parametrize("gone", ["deleted", "never there", "of another"])
def test_a_version_that_is_not_there_is_for_a_person(
    hosting: VercelHosting, vercel: FakeVercel, page: Path, gone: str
) -> None:
    published = hosting.publish("order", page, PaperCall())
    versions = {"deleted": published.version, "never there": "dpl_never", "of another": published.version}
    vercel.deployments[published.version].deleted = gone == "deleted"

    with pytest.raises(PersonDecides, match="does not have version"):
        hosting.restore("another" if gone == "of another" else "order", versions[gone], PaperCall())


@pytest.mark.parametrize("lives", range(8))
def test_a_run_that_ends_at_any_point_publishes_once(vercel: FakeVercel, page: Path, lives: int) -> None:
    vercel.deploy_latency_seconds = 60.0
    hosting = VercelHosting(vercel.token, vercel.team_id, vercel.base_url, OpenGate())
    with pytest.raises(Killed):
        hosting.publish("order", page, PaperCall(lives=lives))
    vercel.deploy_latency_seconds = 0.0
    for deployment in vercel.deployments.values():
        deployment.ready_at = deployment.alias_at = deployment.created

    published = hosting.publish("order", page, PaperCall())

    assert list(vercel.deployments) == [published.version]
    assert hosting.fetch(published, "") == (page / "index.html").read_bytes()


@pytest.mark.parametrize("fault", [Fault.lose_reply(), Fault.drop(), Fault.status(500)], ids=["lost", "drop", "500"])
@pytest.mark.parametrize("uploaded_contents", [0, 4])
def test_a_create_without_answer_is_looked_for_first(
    hosting: VercelHosting, vercel: FakeVercel, page: Path, fault: Fault, uploaded_contents: int
) -> None:
    vercel.fail_next(fault, lambda _: len(vercel.files) == uploaded_contents)

    published = hosting.publish("order", page, PaperCall())

    assert list(vercel.deployments) == [published.version]
    assert vercel.faults_left == 0
    assert hosting.fetch(published, "") == (page / "index.html").read_bytes()


def test_a_service_that_stays_silent_is_left_for_another_run(
    hosting: VercelHosting, vercel: FakeVercel, page: Path
) -> None:
    vercel.fail_next(Fault.status(503), times=FOR_EVER)

    with pytest.raises(TryAgain):
        hosting.publish("order", page, PaperCall())


@pytest.mark.parametrize(
    "operation", ["getProject", "createProject", "getDeployments", "uploadFile", "getDeployment", "assignAlias"]
)
@pytest.mark.parametrize("fault", [Fault.status(500), Fault.drop(), Fault.cut()], ids=["500", "drop", "cut"])
def test_a_hiccup_at_any_call_is_waited_out(
    hosting: VercelHosting, vercel: FakeVercel, page: Path, operation: str, fault: Fault
) -> None:
    vercel.fail_next(fault, operations={operation})

    hosting.publish("order", page, PaperCall())
    hosting.publish("order", page, PaperCall())

    assert vercel.faults_left == 0
    assert len(vercel.deployments) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (blocked(), PersonDecides, r"blocks the deployment \(TEAM_ACCESS_REQUIRED\)"),
        (build_error(), TryAgain, r"ended ERROR at Vercel \(BUILD_FAILED\)"),
        (build_canceled(), TryAgain, "ended CANCELED"),
        (alias_error(), PersonDecides, r"address \(alias_in_use\)"),
    ],
)
def test_a_deployment_that_fails_says_why_and_is_made_anew(
    hosting: VercelHosting, vercel: FakeVercel, page: Path, fault: Fault, kind: type[DownstreamError], words: str
) -> None:
    vercel.fail_next(fault, lambda _: bool(vercel.files))

    with pytest.raises(kind, match=words):
        hosting.publish("order", page, PaperCall())

    published = hosting.publish("order", page, PaperCall())
    assert list(vercel.deployments)[1:] == [published.version]
    assert MARKER.encode() in hosting.fetch(published, "")


def test_a_deployment_that_never_gets_ready_is_given_up(hosting: VercelHosting, vercel: FakeVercel, page: Path) -> None:
    vercel.deploy_latency_seconds = 3600.0

    with pytest.raises(TryAgain, match="ready in 40 seconds"):
        hosting.publish("order", page, PaperCall())


def test_a_short_throttle_is_left_to_the_gate(
    hosting: VercelHosting, vercel: FakeVercel, gate: OpenGate, page: Path
) -> None:
    vercel.fail_next(Fault.status(429, retry_after="7"))
    vercel.fail_next(Fault.status(429), operations={"getDeployment"})

    hosting.publish("order", page, PaperCall())

    assert gate.hints == [7.0, pytest.approx(30.0, abs=2)]


@pytest.mark.parametrize(
    "operation", ["getProject", "updateProject", "getDeployments", "uploadFile", "getDeployment", "assignAlias"]
)
def test_a_service_that_says_how_long_it_is_away_is_left_to_the_gate(
    vercel: FakeVercel, page: Path, operation: str
) -> None:
    gate, call = OpenGate(), PaperCall()
    hosting = VercelHosting(vercel.token, vercel.team_id, vercel.base_url, gate)
    if operation == "updateProject":
        hosting.publish("order", page, call)
        next(iter(vercel.projects.values())).sso_protection = {"deploymentType": "all"}
    vercel.fail_next(Fault.status(503, retry_after="7"), operations={operation})
    vercel.fail_next(Fault.status(503, retry_after="0"), operations={operation})

    hosting.publish("order", page, call)
    hosting.publish("order", page, call)

    assert gate.hints[:2] == [7.0, 1.0]
    assert vercel.faults_left == 0
    assert len(vercel.deployments) == 1


@pytest.mark.parametrize("operation", ["createProject", CREATE])
def test_what_creates_something_is_looked_for_and_not_sent_again_by_the_gate(
    hosting: VercelHosting, vercel: FakeVercel, gate: OpenGate, page: Path, operation: str
) -> None:
    vercel.fail_next(Fault.status(503, retry_after="7"), operations={operation})

    hosting.publish("order", page, PaperCall())

    assert gate.hints == []
    assert (len(vercel.projects), len(vercel.deployments)) == (1, 1)
    looked_for = "getProject" if operation == "createProject" else "getDeployments"
    asked = [each.operation for each in vercel.calls]
    assert looked_for in asked[asked.index(operation) :]


@pytest.mark.parametrize(
    ("fault", "fingerprint", "wait_seconds"),
    [(Fault.status(429, retry_after="7200"), "vercel.limit", 7200.0), (Fault.status(402), "vercel.payment", 3600.0)],
)
def test_a_used_up_plan_puts_the_service_on_hold(
    hosting: VercelHosting, vercel: FakeVercel, page: Path, fault: Fault, fingerprint: str, wait_seconds: float
) -> None:
    vercel.fail_next(fault)

    with pytest.raises(OnHold) as caught:
        hosting.publish("order", page, PaperCall())

    assert (caught.value.fingerprint, caught.value.wait_seconds) == (fingerprint, wait_seconds)


def test_a_plan_without_open_pages_is_a_matter_of_the_settings(
    hosting: VercelHosting, vercel: FakeVercel, page: Path
) -> None:
    vercel.fail_next(Fault.status(428), operations={"createProject"})

    with pytest.raises(Misconfigured, match="plan"):
        hosting.publish("order", page, PaperCall())


def test_a_wrong_token_is_a_matter_of_the_settings(vercel: FakeVercel, page: Path) -> None:
    hosting = VercelHosting("another", vercel.team_id, vercel.base_url, OpenGate())

    with pytest.raises(Misconfigured, match="VERCEL_TOKEN for VERCEL_TEAM_ID"):
        hosting.publish("order", page, PaperCall())


def test_a_page_that_is_not_accepted_is_for_a_person(hosting: VercelHosting, vercel: FakeVercel, page: Path) -> None:
    vercel.fail_next(Fault.status(400, code="too_many_files", message=MARKER))

    with pytest.raises(PersonDecides, match=r"\(too_many_files\)$"):
        hosting.publish("order", page, PaperCall())


@pytest.mark.parametrize("answer", ["401", "redirect"])
def test_a_login_page_is_no_page(hosting: VercelHosting, vercel: FakeVercel, page: Path, answer: str) -> None:
    vercel.login_redirects = answer == "redirect"
    published = hosting.publish("order", page, PaperCall())
    vercel.fail_next(protected())

    with pytest.raises(TryAgain, match="not open to visitors"):
        hosting.fetch(published, "")


def test_a_file_that_is_missing_says_which(hosting: VercelHosting, vercel: FakeVercel, page: Path) -> None:
    published = hosting.publish("order", page, PaperCall())
    vercel.fail_next(file_missing(), "/frames/2.jpg")

    with pytest.raises(TryAgain, match=r"/frames/2\.jpg is not there \(404\)"):
        hosting.fetch(published, "frames/2.jpg")


@pytest.mark.parametrize("fault", [Fault.drop(), Fault.status(503), Fault.cut()], ids=["drop", "503", "cut"])
def test_a_visitor_looks_again_after_a_hiccup(
    hosting: VercelHosting, vercel: FakeVercel, page: Path, fault: Fault
) -> None:
    published = hosting.publish("order", page, PaperCall())
    vercel.fail_next(fault, operations={"visit"})

    assert hosting.fetch(published, "frames/2.jpg") == b"the same"
    assert vercel.faults_left == 0


def test_nobody_at_the_address_is_for_another_run(hosting: VercelHosting) -> None:
    with pytest.raises(TryAgain, match="no answer"):
        hosting.fetch(Published("http://127.0.0.1:9", "dpl_1"), "")


def test_a_netrc_neither_replaces_the_token_nor_goes_along_with_a_visitor(
    hosting: VercelHosting, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    published = hosting.publish("order", page, PaperCall())

    assert MARKER.encode() in hosting.fetch(published, "")


def test_project_names_are_accepted_and_only_one_streams() -> None:
    ids = ["order", "Order", "order_1", "order-1", "o" * 120, "o" * 121, "--a---b--", "é"]

    names = [project_name("story", stream_id) for stream_id in ids]

    assert len(set(names)) == len(ids)
    assert all(re.fullmatch(r"(?!.*--)[a-z0-9][a-z0-9-]{0,51}", name) for name in names)
    assert names[0].startswith("story-order-")


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 428, 500])
def test_no_error_tells_the_token_or_what_the_service_said(
    hosting: VercelHosting, vercel: FakeVercel, page: Path, status: int
) -> None:
    vercel.fail_next(Fault.status(status, message=MARKER), times=FOR_EVER)

    with pytest.raises(DownstreamError) as caught:
        hosting.publish("order", page, PaperCall())

    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert vercel.token not in told
    assert MARKER not in told


# --- forgetting ------------------------------------------------------------------------------------------------------


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting takes no time."""
    monkeypatch.setattr("downstream.providers.vercel.hosting.time.sleep", lambda _: None)


def test_a_forgotten_stream_is_gone_with_its_address_and_every_version(
    hosting: VercelHosting, vercel: FakeVercel, page: Path
) -> None:
    first = hosting.publish("order-1", page, PaperCall())
    other = hosting.publish("order-2", page, PaperCall())
    (page / "index.html").write_text(f"<!doctype html>{MARKER}, second version")
    hosting.publish("order-1", page, PaperCall())

    said = hosting.forget("order-1")

    assert said.startswith("its project was deleted")
    assert [project.name for project in vercel.projects.values()] == [project_name("story", "order-2")]
    assert {one.deleted for one in vercel.deployments.values() if one.meta["orderId"] == "order-1"} == {True}
    with pytest.raises(TryAgain):
        hosting.fetch(first, "")
    assert hosting.fetch(other, "")


def test_what_was_never_there_or_is_gone_already_is_forgotten_too(
    hosting: VercelHosting, vercel: FakeVercel, page: Path
) -> None:
    hosting.publish("order-1", page, PaperCall())
    hosting.forget("order-1")

    assert hosting.forget("order-1") == hosting.forget("never") == "there is no project of this order (any more)"


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("fault", [Fault.drop(), Fault.lose_reply(), Fault.status(500)])
def test_a_hiccup_while_forgetting_is_waited_out(
    hosting: VercelHosting, vercel: FakeVercel, page: Path, fault: Fault
) -> None:
    hosting.publish("order-1", page, PaperCall())
    vercel.fail_next(fault, operations={"deleteProject"})

    hosting.forget("order-1")

    assert vercel.projects == {}


@pytest.mark.usefixtures("patience")
def test_what_the_host_has_still_is_not_called_forgotten(
    hosting: VercelHosting, vercel: FakeVercel, page: Path
) -> None:
    hosting.publish("order-1", page, PaperCall())
    vercel.handlers = {**vercel.handlers, "deleteProject": lambda _: http_server.Answer(204)}

    with pytest.raises(TryAgain, match="still has the project"):
        hosting.forget("order-1")


def test_a_token_that_may_not_delete_is_a_setting_to_mend(
    hosting: VercelHosting, vercel: FakeVercel, page: Path
) -> None:
    hosting.publish("order-1", page, PaperCall())
    vercel.fail_next(Fault.status(403), operations={"deleteProject"})

    with pytest.raises(Misconfigured, match="VERCEL_TOKEN"):
        hosting.forget("order-1")
