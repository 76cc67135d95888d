"""The tree that the house checks read: which files count, and their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "accounts", "automations", "bench", "channels_hub", "channels_twilio", "contacts", "conversations",
    "flows", "insights", "pytake", "queues",
)  # fmt: skip
# What tools and runs leave behind, and what others wrote.
NOT_OURS = {
    ".venv", ".git", ".pytake", ".mypy_cache", ".ruff_cache", ".import_linter_cache", ".pytest_cache",
    ".hypothesis",
    "__pycache__", "node_modules", "vendor", "staticfiles", "test-results", "results", ".idea", ".vscode",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A Python file of ours: its path from the root and its syntax tree."""

    path: str
    tree: ast.Module

    @property
    def is_shipped(self) -> bool:
        """Part of the running product: not a test, a bench or a migration."""
        return not self.path.startswith(("tests/", "bench/")) and "/migrations/" not in self.path


def files(*suffixes: str) -> Iterator[Path]:
    """Every file of the repository with one of these endings (all, when none is given)."""
    for path in sorted(_walk(ROOT)):
        if not suffixes or path.suffix in suffixes:
            yield path


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in NOT_OURS or path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def sources() -> tuple[Source, ...]:
    """All Python files, parsed once."""
    return tuple(Source(relative(path), ast.parse(path.read_text())) for path in files(".py"))


def shipped() -> tuple[Source, ...]:
    return tuple(source for source in sources() if source.is_shipped)


Detector = Callable[[ast.Module], Iterable[int]]


def places(detector: Detector, where: Iterable[Source], *, but: Iterable[str] = ()) -> list[str]:
    """path:line of everything that a detector finds, except in the files on the allow-list."""
    allowed = set(but)
    return [f"{s.path}:{line}" for s in where if s.path not in allowed for line in detector(s.tree)]


def said(instead: str, found: Iterable[str]) -> str:
    """What a failing house check prints: what to do instead, then where."""
    return "\n  ".join([f"\n{instead}", *found])
