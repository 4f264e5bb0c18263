"""The arrows between the layers: they only point one way, and an idle command loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent / "downstream"

BASE = {"files", "locks", "children"}
HOUSE = {
    "queue", "job_file", "turns", "receipts", "ledger", "limits", "prices", "heartbeat", "alerts", "log", "settings",
    "workspace", "exit_codes", "holds", "guard", "stamps", "machine",
}  # fmt: skip
MAY_IMPORT = {
    "domain": {"domain"},
    "files": set[str](),
    "locks": {"files"},
    "children": set[str](),
    **{name: {"domain", *BASE} for name in HOUSE},
    "turns": {"job_file", "domain", *BASE},
    "queue": {"job_file", "turns", "domain", "holds", *BASE},
    "ledger": {"domain", "receipts", "settings", *BASE},
    "guard": {"domain", "settings"},
    "limits": {"domain", "machine", *BASE},
    "prices": {"domain", "settings"},
    "events_of": {"domain", *BASE},
    "installation": {"domain", *BASE, *HOUSE},
    "promises": {"domain", *BASE, *HOUSE},
    "failures": {"promises", "domain", *BASE, *HOUSE},
    "overview": {"promises", "domain", *BASE, *HOUSE},
    "retry": {"domain", *BASE, *HOUSE},
    "evidence": {"overview", "events_of", "shop", "domain", *BASE, *HOUSE},
    "obstacles": {"evidence", "overview", "events_of", "promises", "domain", *BASE, *HOUSE},
    "explain": {"evidence", "obstacles", "overview", "events_of", "promises", "shop", "web", "domain", *BASE, *HOUSE},
    "estimate": {"stages", "steps", "overview", "domain", *BASE, *HOUSE},
    "rehearse": {"steps", "overview", "installation", "domain", *BASE, *HOUSE},
    "undo": {"stages", "steps", "site", "domain", *BASE, *HOUSE},
    "sample": {"domain"},
    "site": {"site", "domain", *BASE},
    "providers": {"providers", "domain", *BASE},
    "steps": {"steps", "site", "sample", "domain", *BASE, *HOUSE},
    "stages": {"promises", "failures", "stages", "steps", "site", "domain", *BASE, *HOUSE},
    "shop": {"shop", "steps", "retry", "domain", *BASE, *HOUSE},
    "terminal": {"domain", *HOUSE},
    "backup": {"backup", "domain", *BASE, *HOUSE},
}
"""Which parts of the package a part may know; the entry points may know all."""
ENTRY_POINTS = {"cli", "commands", "suppliers", "outbox", "healthcheck", "doctor", "web", "__main__", "__init__"}
SDKS = {"google", "replicate", "stripe", "requests", "anthropic", "smtplib", "urllib3", "httpx", "httpx2"}


class Import(NamedTuple):
    """One module imports another."""

    importer: str
    imported: str
    for_types_only: bool

    @property
    def part(self) -> str:
        """The part of the package that imports."""
        return self.importer.split(".")[1] if "." in self.importer else "__init__"


def module_name(path: Path) -> str:
    """``downstream.domain.job`` for its file."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imports(module: str) -> Iterator[Import]:
    """Every import of a module, wherever in it and for whatever reason it stands."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    for_types = {id(inner) for block in blocks for inner in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, id(node) in for_types)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(module, inner if inner in MODULES else node.module or "", id(node) in for_types)


IMPORTS = [found for module in MODULES for found in imports(module)]


def test_the_package_was_read() -> None:
    assert {"downstream.queue", "downstream.cli", "downstream.stages.process"} <= set(MODULES)
    assert Import("downstream.queue", "downstream.domain.job", for_types_only=True) in IMPORTS
    assert Import("downstream.queue", "downstream.domain.job", for_types_only=False) in IMPORTS


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_knows_only_what_lies_to_its_right(module: str) -> None:
    wrong = []
    for found in imports(module):
        if not found.imported.startswith("downstream") or found.part in ENTRY_POINTS:
            continue
        known = found.imported.split(".")[1] if "." in found.imported else "__init__"
        if known not in MAY_IMPORT[found.part] | {"__init__"}:
            wrong.append(found.imported)
    assert wrong == []


def test_the_domain_needs_nothing_but_the_standard_library_and_pydantic() -> None:
    outside = {one.imported.split(".")[0] for one in IMPORTS if one.part == "domain"}

    assert outside - set(sys.stdlib_module_names) == {"downstream", "pydantic"}


def test_only_providers_and_the_form_know_a_service_by_its_kit() -> None:
    knowing = {
        one.importer
        for one in IMPORTS
        if one.part not in {"providers", "web"}
        for sdk in SDKS
        if one.imported.split(".")[0] == sdk
    }

    assert knowing == set()


def test_no_provider_knows_another() -> None:
    wrong = [
        (one.importer, one.imported)
        for one in IMPORTS
        if one.part == "providers" and one.imported.startswith("downstream.providers.")
        if one.importer.split(".")[2:3] != one.imported.split(".")[2:3]
    ]

    assert wrong == []


def test_only_the_entry_points_build_providers() -> None:
    building = {one.part for one in IMPORTS if one.imported.startswith("downstream.providers")}

    assert building <= {"providers", "suppliers", "outbox", "doctor", "web"}
    assert "suppliers" in building


def test_only_the_entry_points_choose_exit_codes() -> None:
    choosing = {one.part for one in IMPORTS if one.imported == "downstream.exit_codes"}

    assert choosing <= ENTRY_POINTS


def test_imports_never_run_in_a_ring() -> None:
    graph: dict[str, set[str]] = {}
    for one in IMPORTS:
        if one.imported in MODULES and not one.for_types_only:
            graph.setdefault(one.importer, set()).add(one.imported)

    order = list(TopologicalSorter(graph).static_order())

    assert order.index("downstream.files") < order.index("downstream.queue") < order.index("downstream.cli")


HEAVY = {
    "pydantic", "structlog", "numpy", "PIL", "av", "rich", "jinja2", "stripe", "replicate", "google.genai", "requests",
    "concurrent.futures", "email.message", "zoneinfo", "asyncio", "dotenv",
}  # fmt: skip


def loaded_after(script: str) -> set[str]:
    """Every module that is loaded when a script has run."""
    command = [sys.executable, "-c", f"{script}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_loading_the_command_line_loads_nothing_heavy() -> None:
    loaded = loaded_after("import downstream.cli")

    assert "downstream.cli" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("stage", ["process", "review"])
def test_an_idle_tick_loads_nothing_heavy(home: Path, stage: str) -> None:
    script = f"""
import sys
from downstream.cli import main
sys.argv = ["downstream", "--home", {str(home)!r}, {stage!r}]
try:
    main()
except SystemExit as end:
    assert end.code == 3, end.code
"""
    loaded = loaded_after(script)

    assert loaded & HEAVY == set()
    assert not {
        one for one in loaded if one.startswith(("downstream.stages", "downstream.steps", "downstream.domain.job"))
    }
