"""The style sheet, the scripts and the rules of counting, under names that change with their content."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING

from flask import Response, abort

from downstream.domain.language import (
    CJK,
    CJK_PER_WORD,
    HALFWIDTH_VOICE_MARKS,
    SEPARATORS,
    SOUTHEAST_ASIAN,
    SOUTHEAST_ASIAN_PER_WORD,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FOR_EVER = "public, max-age=31536000, immutable"
"""Of what never changes under its name."""
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


class Assets:
    """Every file of ``static/``, and ``counting.json``."""

    def __init__(self) -> None:
        folder = files("downstream.web") / "static"
        contents = {file.name: file.read_bytes() for file in folder.iterdir() if PurePath(file.name).suffix in TYPES}
        contents["counting.json"] = json.dumps(counting_rules(), ensure_ascii=False).encode()
        self._served = {_hashed(name, data): data for name, data in contents.items()}
        self._addresses = {name: f"/static/{_hashed(name, data)}" for name, data in contents.items()}

    def address(self, name: str) -> str:
        """Where the present content of a file is served for ever."""
        return self._addresses[name]

    def serve(self, name: str) -> Response:
        """The file of that (hashed) name."""
        if name not in self._served:
            abort(404)
        headers = {"Content-Type": TYPES[PurePath(name).suffix], "Cache-Control": FOR_EVER}
        return Response(self._served[name], headers=headers)

    def favicon(self) -> Response:
        """The icon, for browsers that ask for it unasked."""
        return self.serve(PurePath(self.address("icon.svg")).name)


@cache
def counting_rules() -> Mapping[str, str | int]:
    """What ``count_words`` goes by, for the browser: ranges of characters as they stand between ``[`` and ``]``.

    What a letter, a digit and a space are is Python's own edition of Unicode; a browser's may be newer.
    """
    every_character = "".join(map(chr, range(0x110000)))
    return {
        "word": _ranges(r"[^\W_]+", every_character),
        "space": _ranges(r"\s+", every_character),
        "cjk": CJK,
        "cjk_per_word": CJK_PER_WORD,
        "southeast_asian": SOUTHEAST_ASIAN,
        "southeast_asian_per_word": SOUTHEAST_ASIAN_PER_WORD,
        "voice_marks": HALFWIDTH_VOICE_MARKS,
        "separators": SEPARATORS,
    }


def _ranges(pattern: str, every_character: str) -> str:
    runs = re.finditer(pattern, every_character)
    return "".join(f"{run[0][0]}-{run[0][-1]}" for run in runs)


def _hashed(name: str, data: bytes) -> str:
    path = PurePath(name)
    return f"{path.stem}.{hashlib.sha256(data).hexdigest()[:10]}{path.suffix}"
