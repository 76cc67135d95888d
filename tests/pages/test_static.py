"""What is delivered to browsers: vendored files are what they claim to be, and the page stays light."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

STATIC = Path(__file__).resolve().parents[2] / "static"


def weight(*names: str) -> int:
    return sum(len(gzip.compress((STATIC / name).read_bytes())) for name in names)


def test_vendored_files_match_their_manifest_and_have_a_licence():
    files = json.loads((STATIC / "vendor" / "MANIFEST.json").read_text())["files"]
    for file in files:
        assert hashlib.sha256((STATIC / file["path"]).read_bytes()).hexdigest() == file["sha256"], file[
            "name"
        ]
        assert (STATIC / file["license_file"]).stat().st_size > 500
    listed = {file["path"] for file in files}
    found = {f"vendor/{p.name}" for p in (STATIC / "vendor").glob("*.*") if p.suffix not in (".txt", ".json")}
    assert found <= listed


def test_style_and_scripts_stay_within_their_budgets():
    assert weight("inbox/app.css", "inbox/inbox.css", "inbox/pages.css") <= 15_000
    assert weight("inbox/live.js", "inbox/inbox.js", "inbox/composer.js") <= 20_000
    assert weight("inbox/app.css", "insights/insights.css") <= 10_000
    assert weight("insights/live.js", "insights/board.js", "insights/wall.js") <= 10_000


def test_every_style_rule_stands_in_a_layer():
    """An unlayered rule beats every layer: the phone layout would break unseen."""
    for name in ("inbox/app.css", "inbox/inbox.css", "inbox/pages.css", "insights/insights.css"):
        depth, outside = 0, ""
        for char in (STATIC / name).read_text():
            outside += char if depth == 0 else ""
            depth += {"{": 1, "}": -1}.get(char, 0)
        rules = [part.split("*/")[-1].split(";")[-1].strip() for part in outside.split("{")[:-1]]
        assert all(rule.startswith(("@layer", "@font-face", "}")) for rule in rules), (name, rules)
