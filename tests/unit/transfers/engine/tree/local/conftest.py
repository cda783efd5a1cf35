from __future__ import annotations

from pathlib import Path

import pytest

from transfers.engine.tree.local import LocalTree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The tree's folder."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """Where the tree's unfinished files lie; it is not there yet."""
    return tmp_path / "staging" / "case"


@pytest.fixture
def tree(root: Path, staging: Path) -> LocalTree:
    return LocalTree(root, staging)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that the tree must not touch, with one file in it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    return folder
