"""What tests of paid orders share: the services, models that give good answers, and the program run against them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from conftest import environment

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.services import Services

CUSTOMER = "reader.of.tales@customer.example"
"""The customer's address; it must never be seen in a log, an alert or a traceback."""

STORY = "\n\n".join(
    f"The {name} came down to the harbour before the light was up. Nobody had called it, and nobody sent it away; "
    "it stood between the nets and the barrels and looked at the water as if it had lent it to us. " * 4
    for name in ("heron", "old pilot", "widow", "lamplighter", "boy from the mill", "wind")
)
"""Some 850 words in six paragraphs."""

_MOTIONS = ("push_in", "drift", "pan_left", "rise", "pull_back", "pan_right")


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What a good model answers to any request for text."""
    schema = _schema(request)
    members = set(schema["properties"])
    words = "\n".join(part.get("text", "") for content in request["contents"] for part in content["parts"])
    if "sections" in members:
        return plan(words)
    if "findings" in members:
        return {"findings": [], "readToTheEndParagraph": 0, "read_to_the_end_paragraph": _last_number(words)}
    if "motion_prompt" in members:
        return {"motion_prompt": "The light wanders slowly over the same harbour."}
    if "image_prompt" in members:
        return {"image_prompt": "The same harbour seen from far away, in calm light."}
    return judgement(sorted(set(re.findall(r"^Segment (\d\d):", words, re.MULTILINE))), schema)


def plan(words: str, segments: int | None = None) -> dict[str, Any]:
    """A plan with as many segments as the request wants at least, one section each."""
    fewest = re.search(r"Plan (\d+) to (\d+) segments", words)
    assert fewest, "the request does not say how many segments"
    count, pieces = segments or int(fewest[1]), _last_number(words)
    return {
        "aesthetic": "pencil and wash",
        "palette": ["#101820", "#3c5a6e", "#d8c8a0"],
        "texture": "rough paper",
        "references": ["harbour prints"],
        "unifying_elements": ["a lamp"],
        "avoid": ["lettering"],
        "cast": [{"name": "Mara", "look": "an old woman in a grey coat"}],
        "sections": [
            {
                "title": f"Part {number + 1}",
                "first_piece": 1 + number * pieces // count,
                "text_type": "prose",
                "segments": [
                    {
                        "title": f"Scene {number + 1}",
                        "narrative": "The harbour waits.",
                        "image_prompt": f"Harbour view number {number + 1} with Mara at dawn",
                        "negative_prompt": "crowds",
                        "motion_prompt": f"slow move number {number + 1}",
                        "motion_type": _MOTIONS[number % len(_MOTIONS)],
                    }
                ],
            }
            for number in range(count)
        ],
    }


def judgement(segment_ids: list[str], schema: dict[str, Any], failing: dict[str, str] | None = None) -> dict[str, Any]:
    """A judgement that passes every segment but those in ``failing`` (segment id to reason)."""
    failing = failing or {}
    criteria = _scores(schema)
    faulty = {"motion", "morphing"} if "motion" in criteria else {"anatomy"}
    return {
        "segments": [
            {
                "segment_id": one,
                "verdict": "fail" if one in failing else "pass",
                "reason": failing.get(one, "sound"),
                "scores": {name: 2 if one in failing and name in faulty else 4 for name in criteria},
            }
            for one in segment_ids
        ],
        "whole": {"verdict": "pass", "reason": "one work", "weakest": []},
    }


def _schema(request: dict[str, Any]) -> dict[str, Any]:
    settings = request["generationConfig"]
    found: dict[str, Any] = settings.get("responseJsonSchema") or settings["responseSchema"]
    return found


def _scores(schema: dict[str, Any]) -> list[str]:
    text = json.dumps(schema)
    return [
        name
        for name in ("narrative", "anatomy", "cast", "style", "lettering", "motion", "morphing", "framing")
        if f'"{name}"' in text
    ]


def _last_number(words: str) -> int:
    return max(int(number) for number in re.findall(r"^\[(\d+)\]", words, re.MULTILINE))


@dataclass
class Shop:
    """An installation whose orders are served by the services."""

    home: Path
    services: Services
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.services.gemini.text_answer = answer

    def order(self, stream_id: str = "order-1", text: str = STORY, **fields: Any) -> None:
        """A paid order lies in ``pending`` with its story."""
        folder = self.home / "streams" / stream_id
        folder.mkdir(parents=True, exist_ok=True)
        story = {"id": stream_id, "title": "The harbour", "language": "en", "text": text, **fields}
        (folder / "input.json").write_text(json.dumps(story, ensure_ascii=False), "utf-8")
        paid = {"paid_amount": 49, "currency": "eur", "paid_at": datetime.now(UTC).isoformat()}
        job = {"stream_id": stream_id, "customer_email": CUSTOMER, **paid}
        (self.home / "jobs" / "pending" / f"{stream_id}.json").write_text(json.dumps(job))

    def environment(self) -> dict[str, str]:
        """The settings of the program's process."""
        return environment(**self.services.environment(), **self.settings)

    def run(self, *arguments: str, timeout_seconds: float = 120, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the real program and returns how it ended."""
        command = [sys.executable, "-m", "downstream", "--home", str(self.home), *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=self.environment() | settings,
            timeout=timeout_seconds,
            check=False,
        )

    def where(self, stream_id: str = "order-1") -> str:
        """The folder the job lies in."""
        found = [path.parent.name for path in self.home.glob(f"jobs/[a-z]*/{stream_id}.json")]
        assert len(found) == 1, found
        return found[0]

    def job(self, stream_id: str = "order-1") -> dict[str, Any]:
        """The job as it lies there."""
        found: dict[str, Any] = json.loads(
            (self.home / "jobs" / self.where(stream_id) / f"{stream_id}.json").read_bytes()
        )
        return found

    def receipts(self, stream_id: str = "order-1") -> list[dict[str, Any]]:
        """The lines of the order's receipts."""
        path = self.home / "streams" / stream_id / "receipts.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def ledger(self) -> list[dict[str, Any]]:
        """The lines of the ledger."""
        return [
            json.loads(line)
            for path in sorted((self.home / "logs" / "ledger").glob("*.jsonl"))
            for line in path.read_bytes().splitlines()
        ]

    def put_off(self, stream_id: str = "order-1") -> None:
        """What the order waits for is over: it may be taken up again at once."""
        path = self.home / "jobs" / self.where(stream_id) / f"{stream_id}.json"
        job = json.loads(path.read_bytes())
        job.pop("not_before", None)
        path.write_text(json.dumps(job))
        os.utime(path)
