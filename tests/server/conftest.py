"""One Debian for the tests of a module: bare, looked at, set up, and set up again.

A module that names another ``RELEASE`` of Debian is given that; all others are given Debian 12.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from server.tree import Tree, build

DOMAIN = "stories.example.com"


@dataclass(frozen=True)
class SetUp:
    """What the runs of ``setup_hetzner.sh`` said, and the tree before and after each."""

    tree: Tree
    bare: dict[str, str]
    rehearsed: str
    after_rehearsal: dict[str, str]
    first: str
    after_first: dict[str, str]
    second: str
    after_second: dict[str, str]


@pytest.fixture(scope="module")
def setup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SetUp:
    """A server on which the script was rehearsed, run, and run again."""
    tree = build(tmp_path_factory.mktemp("server") / "tree", getattr(request.module, "RELEASE", "bookworm"))
    bare = tree.manifest()
    rehearsed = tree.setup("--dry-run", "--domain", DOMAIN)
    after_rehearsal = tree.manifest()
    first = tree.setup("--domain", DOMAIN)
    after_first = tree.manifest()
    second = tree.setup("--domain", DOMAIN)
    return SetUp(tree, bare, rehearsed, after_rehearsal, first, after_first, second, tree.manifest())
