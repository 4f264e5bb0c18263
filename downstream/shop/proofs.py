"""The proofs in ``logs/forgotten/``: which orders were forgotten, and what their books still need."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from downstream.domain.errors import PersonDecides
from downstream.domain.forgotten import Proof
from downstream.domain.record import explain
from downstream.files import private_folder, write_durably

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def is_forgotten(home: Path, stream_id: str) -> bool:
    """The order was forgotten, or is being: what is told of it must not make it again."""
    return _path(home, stream_id).exists()


def unfinished(home: Path) -> list[str]:
    """The orders whose forgetting was cut off, sorted.

    Raises:
        PersonDecides: a proof was changed into something that is none.
    """
    names = sorted(path.stem for path in (home / "logs" / "forgotten").glob("[!.]*.json"))
    proofs = (read_proof(home, name) for name in names)
    return [proof.stream_id for proof in proofs if proof is not None and proof.status == "begun"]


def read_proof(home: Path, stream_id: str) -> Proof | None:
    """The proof of that order, None when it was not forgotten.

    Raises:
        PersonDecides: it was changed into something that is none.
    """
    path = _path(home, stream_id)
    try:
        return Proof.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise PersonDecides(f"{path.relative_to(home)}: {explain(error)}") from None


def save_proof(home: Path, proof: Proof) -> Proof:
    """The proof is on the disk."""
    path = _path(home, proof.stream_id)
    private_folder(path.parent)
    write_durably(path, proof.to_json())
    return proof


def search_logs(home: Path, words: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """The files below ``logs/`` in which one of the words stands, and how many were read."""
    paths = sorted(path for path in (home / "logs").rglob("*") if path.is_file())
    return tuple(str(path.relative_to(home)) for path in paths if holds_any(path, words)), len(paths)


def holds_any(path: Path, words: Iterable[str]) -> bool:
    """One of the words stands in the file, in small letters or large, as it is or as JSON escapes it."""
    spelled = {spelling.lower().encode() for word in words if word for spelling in (word, json.dumps(word)[1:-1])}
    with suppress(FileNotFoundError), path.open("rb") as file:
        return any(word in line.lower() for line in file for word in spelled)
    return False


def _path(home: Path, stream_id: str) -> Path:
    return home / "logs" / "forgotten" / f"{stream_id}.json"
