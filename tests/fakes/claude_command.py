"""Puts the fake ``claude`` command into a folder, tells it what to answer and reads what it was asked."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).parent / "claude"


class FakeClaude:
    """A ``claude`` command in ``folder``. It knows its control file by itself, whatever environment it is given."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.command = folder / "claude"
        self._control = folder / "control.json"
        self._record = folder / "calls.jsonl"
        self.command.write_text(
            "#!/bin/sh\n"
            f"export FAKE_CLAUDE_CONTROL={shlex.quote(str(self._control))}\n"
            f'exec {shlex.quote(sys.executable)} {shlex.quote(str(_SCRIPT))} "$@"\n'
        )
        self.command.chmod(0o755)
        self.answer({})

    def answer(self, *answers: dict[str, Any]) -> None:
        """The next calls get these answers, the last one again and again. Forgets the calls so far."""
        self._record.unlink(missing_ok=True)
        self._control.write_text(json.dumps({"answers": answers, "record": str(self._record)}), "utf-8")

    def environment(self) -> dict[str, str]:
        """The settings under which the command is found."""
        return {"PATH": f"{self.command.parent}{os.pathsep}{os.environ['PATH']}"}

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls that got past the flags: ``argv``, ``environment`` (names), ``folder``, ``stdin``, ``process``."""
        if not self._record.exists():
            return []
        return [json.loads(line) for line in self._record.read_text("utf-8").splitlines()]
