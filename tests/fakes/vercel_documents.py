"""Deployments and hostnames as Vercel's API shows them."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakes.vercel_pages import Deployment


def describe(deployment: Deployment) -> dict[str, Any]:
    """The deployment as the API shows it now."""
    now = time.time()
    state, aliased = deployment.state(now), deployment.is_aliased(now)
    automatic = [deployment.project.host] if deployment.target == "production" and aliased else []
    document = _shared_description(deployment) | {
        "id": deployment.id,
        "status": state,
        "alias": automatic,
        "aliasAssigned": aliased,
        "public": False,
        "version": 2,
        "plan": "pro",
        "regions": ["iad1"],
        "creator": {"uid": "user_1"},
    }
    if state == "BLOCKED":
        document |= {"seatBlock": {"blockCode": "TEAM_ACCESS_REQUIRED"}, "readyStateReason": deployment.detail}
    return document


def describe_in_list(deployment: Deployment) -> dict[str, Any]:
    """The deployment as the list shows it now: the id is ``uid`` there."""
    now = time.time()
    return _shared_description(deployment) | {
        "uid": deployment.id,
        "created": _milliseconds(deployment.created),
        "state": deployment.state(now),
        "aliasAssigned": _milliseconds(deployment.alias_at) if deployment.is_aliased(now) else None,
    }


def _shared_description(deployment: Deployment) -> dict[str, Any]:
    state = deployment.state(time.time())
    lost_alias = deployment.outcome == "alias_error" and state == "READY"
    error = {"errorCode": "BUILD_FAILED", "errorMessage": deployment.detail} if state == "ERROR" else {}
    return error | {
        "url": deployment.host,
        "name": deployment.project.name,
        "projectId": deployment.project.id,
        "readyState": state,
        "target": deployment.target,
        "aliasError": {"code": "alias_in_use", "message": deployment.detail} if lost_alias else None,
        "createdAt": _milliseconds(deployment.created),
        "inspectorUrl": f"https://vercel.com/downstream/{deployment.project.name}/{deployment.id}",
        "meta": deployment.meta,
        "type": "LAMBDAS",
    }


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def describe_alias(host: str) -> dict[str, Any]:
    """A hostname as the API shows it."""
    created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"uid": hashlib.sha256(host.encode()).hexdigest()[:20], "alias": host, "created": created}
