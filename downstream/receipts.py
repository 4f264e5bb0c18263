"""What was called for a stream and what came of it: an append-only file of intents and outcomes.

The intent is on the disk before the call, the outcome after it. A step whose outcome matches the hash of its inputs,
and whose files are still what they were, is not done again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream.domain.errors import PersonDecides
from downstream.files import PRIVATE_FILE, private_folder, sha256_of, sync_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of one call. ``outputs`` maps files, relative to the stream's folder, to their SHA-256."""

    call: str
    inputs: str
    provider: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    result: Mapping[str, JsonValue] = field(default_factory=dict)


class Receipts:
    """The receipts of one stream. Whoever opens them holds the stream's lock; its threads may share them.

    Raises:
        PersonDecides: the file was changed into something that is not receipts: what was paid for is not known.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._outcomes: dict[str, Receipt] = {}
        for number, line in enumerate(_whole_lines(path), 1):
            try:
                receipt = _outcome(json.loads(line))
            except (ValueError, LookupError, TypeError):
                name = f"streams/{path.parent.name}/{path.name}"
                raise PersonDecides(f"{name}: line {number} is not a receipt; mend it, then retry") from None
            if receipt is not None:
                self._outcomes[receipt.call] = receipt

    def outcome(self, call: str, inputs: str) -> Receipt | None:
        """The receipt of ``call`` when it was made with just these inputs and its files are still as they were."""
        receipt = self._outcomes.get(call)
        if receipt is None or receipt.inputs != inputs:
            return None
        root = self._path.parent
        kept = all(
            (root / path).is_file() and sha256_of(root / path) == digest for path, digest in receipt.outputs.items()
        )
        return receipt if kept else None

    def intend(self, call: str, inputs: str, provider: str) -> None:
        """It is on the disk that ``call`` is about to be made."""
        self._append({"phase": "intent", "call": call, "inputs": inputs, "provider": provider})

    def settle(
        self,
        call: str,
        inputs: str,
        provider: str,
        *,
        outputs: Sequence[Path] = (),
        result: Mapping[str, JsonValue] | None = None,
    ) -> Receipt:
        """It is on the disk that ``call`` was made, with the files and facts that came of it."""
        root = self._path.parent
        digests = {str(path.relative_to(root)): sha256_of(path) for path in outputs}
        receipt = Receipt(call, inputs, provider, digests, dict(result or {}))
        self._append({"phase": "outcome", **{each.name: getattr(receipt, each.name) for each in fields(Receipt)}})
        self._outcomes[call] = receipt
        return receipt

    def _append(self, line: dict[str, Any]) -> None:
        data = json.dumps({"at": datetime.now(UTC).isoformat(), **line}, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            is_new = not self._path.exists()
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)  # no torn line in front of the next one
                raise
            finally:
                os.close(descriptor)
            if is_new:
                sync_folder(self._path.parent)


def digest(*inputs: object) -> str:
    """A hash of what a call depends on: records, plain values, and files by their content."""
    text = json.dumps(inputs, default=_plain, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return sha256_of(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"cannot hash a {type(value).__name__}")


def _outcome(line: dict[str, Any]) -> Receipt | None:
    """The receipt on a line; None where the line is an intent."""
    if line["phase"] == "intent":
        return None
    return Receipt(**{each.name: line[each.name] for each in fields(Receipt)})


def _whole_lines(path: Path) -> list[bytes]:
    """The lines of the file; a last line that a power cut left torn is cut off, for it never counted."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        private_folder(path.parent)
        return []
    end = data.rfind(b"\n") + 1
    if end != len(data):
        os.truncate(path, end)
    return data[:end].splitlines()
