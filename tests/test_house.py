"""The rules of the house, each as a check that says what to do instead.

Tools first (imports, style, types, migrations), then what syntax trees show. The rest is in `tests/house/`:
the database's walls, pages, wording.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.house import detectors
from tests.house.tree import ROOT, files, places, relative, said, shipped, sources

TYPED = [
    *(
        f"flows/{name}.py"
        for name in ("document", "checks", "render", "engine", "triggers", "answers", "text")
    ),
    *(
        f"queues/{name}.py"
        for name in ("overflow", "hours", "eligibility", "routing", "presence", "who_serves")
    ),
    *(f"queues/{name}.py" for name in ("notices", "graph")),
    *(
        f"channels_hub/{name}.py"
        for name in ("contract", "vocabulary", "content", "signatures", "capabilities", "segments", "setup")
    ),
    *(f"queues/{name}.py" for name in ("ics", "public_holidays", "sentences", "calendars")),
    "queues/waiting.py",
    *(f"conversations/{name}.py" for name in ("why", "words", "estimates", "repair")),
    "accounts/roles.py",
    "contacts/addresses.py",
    *(
        f"conversations/{name}.py"
        for name in (
            "handoff",
            "queueing",
            "outbox",
            "sending",
            "settling",
            "receipts",
            "pacing",
            "reconcile",
            "hooks",
            "hook_calls",
            "intake",
            "bot",
        )
    ),
    *(f"conversations/{name}.py" for name in ("notices", "overflows")),
    "queues/sla.py",
    *(f"conversations/{name}.py" for name in ("promises", "sla")),
    *(relative(path) for path in sorted((ROOT / "insights").glob("*.py"))),
    *(
        f"conversations/{name}.py"
        for name in ("moves", "can_send", "gate", "laters", "templates", "plans", "deadlines")
    ),
    *(f"conversations/{name}.py" for name in ("clockwork", "opening", "periods", "setting_up", "troubles")),
]


# ---------------------------------------------------------------- tools
def run(*command: str, whole: bool = False) -> tuple[int, str]:
    """Run a tool of the environment in the root of the tree; its exit code and what it said, or the end."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    told = done.stdout + done.stderr
    return done.returncode, told if whole else told[-6000:]


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def test_imports_point_down_the_floors() -> None:
    code, told = run(tool("lint-imports"), "--no-cache", "--no-logo")
    assert code == 0, said(
        "Import only from floors below. To reach up: return a decision, name a dotted path in settings, "
        "fill a registration list in AppConfig.ready, or write a row that a sweep reads. A new module of "
        "conversations needs a floor in [tool.importlinter] of pyproject.toml.",
        [told],
    )


def test_ruff_has_nothing_to_say() -> None:
    code, told = run(tool("ruff"), "check", "--output-format=concise", "--no-cache", ".")
    assert code == 0, said("Run `ruff check --fix .` and mend what it leaves.", [told])


def test_every_file_is_formatted() -> None:
    code, told = run(tool("ruff"), "format", "--check", "--no-cache", "--output-format=concise", ".")
    assert code == 0, said("Run `ruff format .`.", [told])


def test_deciding_code_and_services_are_typed() -> None:
    """Everything in TYPED says its types; elsewhere at least the fields that a query names exist."""
    code, told = run(tool("mypy"), *sorted({source.path for source in shipped()} | set(TYPED)), whole=True)
    assert code in (0, 1), told
    complaints = [line for line in told.splitlines() if ": error: " in line]
    strict = [line for line in complaints if line.partition(":")[0] in TYPED]
    assert not strict, said("Say the type, or narrow it where it enters; no blanket ignore.", strict)
    unknown = [line for line in complaints if "Cannot resolve keyword" in line]
    assert not unknown, said("A query names a field that the model has not.", unknown)


@pytest.mark.django_db
def test_migrations_are_complete() -> None:
    try:
        call_command("makemigrations", check=True, dry_run=True, verbosity=1)
    except SystemExit:
        pytest.fail(
            "The models are ahead of the migrations: run `manage.py makemigrations` and commit the file."
        )


# ---------------------------------------------------------------- Python
def test_there_are_no_signals() -> None:
    found = places(detectors.signals, sources())
    assert not found, said("Call a service by name: hidden receivers cannot be read from the top.", found)


def test_imports_stand_at_the_top() -> None:
    # manage.py runs before the environment exists: it can import Django only after it made one.
    found = places(detectors.imports_inside_functions, sources(), but={"manage.py"})
    assert not found, said(
        "Move the import to the top; a circle means that code lives on the wrong floor.", found
    )


SAVES = {
    "accounts/models.py": "UserManager creates a row that nobody else knows yet",
    "flows/models.py": "the guard that refuses a second save of a version",
    "accounts/api.py": "serializer.save() of a new key",
    "accounts/resources.py": "serializer.save() of configuration, under its ETag and a lock",
    "accounts/admin_base.py": "formset.save(commit=False) writes nothing",
    "channels_hub/media.py": "a file is stored, not a row (save=False)",
    "channels_hub/pictures.py": "Pillow writes an image, not a row",
}


def test_a_save_names_its_fields() -> None:
    in_commands = {s.path for s in shipped() if "/management/" in s.path}
    found = places(detectors.saves_without_fields, shipped(), but=SAVES.keys() | in_commands)
    assert not found, said(
        "Write save(update_fields=[...]) or .filter(pk=...).update(...): a bare save() also writes back the "
        "columns that somebody else has just changed.",
        found,
    )


def test_only_the_machine_sets_a_state() -> None:
    found = places(detectors.state_writes, shipped())
    assert not found, said(
        "Call a verb of conversations.handoff; only transitions in models.py set a state.", found
    )


# Called with the conversation's lock held and `is_moving` set; moving() itself refuses anything else.
UNDER_THE_LOCK = {
    "conversations/handoff.py": {"give_to", "close_locked"},
    "conversations/queueing.py": {"enter_queue", "pass_on", "_turn_away"},
}


def test_verbs_are_called_inside_moving() -> None:
    found = [
        f"{source.path}:{line}"
        for source in shipped()
        for function, line in detectors.verbs_outside_moving(source.tree)
        if function not in UNDER_THE_LOCK.get(source.path, set())
    ]
    assert not found, said(
        "Open `with moving(pk, ...) as conversation:` around it: one door for state.", found
    )


NETWORK = {
    "channels_hub/http.py": "the one outgoing client: bounded, SSRF-safe, with the outbox error classes",
    "channels_hub/fake_provider.py": "plays a platform, calls our own webhook",
    "pytake/management/commands/doctor.py": "asks this installation for its own health page",
    "pytake/management/commands/up.py": "waits for the page that it has just started",
}


def test_only_the_outgoing_client_reaches_the_network() -> None:
    found = places(detectors.network, shipped(), but=NETWORK)
    assert not found, said(
        "Use channels_hub.http.Client: it bounds time and size and refuses private hosts.", found
    )


def test_no_network_call_inside_a_transaction() -> None:
    found = places(detectors.calls_out_in_transaction, shipped())
    assert not found, said(
        "Commit the claim first, call, then settle in a second transaction (sending.py).", found
    )


def test_logs_carry_no_personal_data() -> None:
    found = places(detectors.personal_logs, shipped())
    assert not found, said(
        "Log ids, kinds and type(error).__name__, never names, numbers, texts or errors.", found
    )


def test_tasks_carry_ids_only() -> None:
    found = places(detectors.tasks_with_more_than_ids, sources())
    assert not found, said(
        "Give the task an id, or nothing: the row is the queue and Redis sees no content.", found
    )


CSRF = {
    "conversations/webhooks.py": "platforms sign the raw body instead",
    "channels_hub/simulator/api.py": "plays a platform: called by our adapter with a token",
}


def test_csrf_is_waived_only_at_signed_doors() -> None:
    found = places(detectors.csrf_exemptions, shipped(), but=CSRF)
    assert not found, said("Keep the CSRF check; only doors with their own signature are on the list.", found)


def test_no_python_code_vouches_for_html() -> None:
    found = places(detectors.trusting_html, shipped())
    assert not found, said("Use format_html(), which escapes what it is given.", found)


# ---------------------------------------------------------------- all files
TEXT = (
    ".py",
    ".html",
    ".txt",
    ".js",
    ".css",
    ".md",
    ".toml",
    ".in",
    ".yml",
    ".yaml",
    ".json",
    ".sh",
    ".po",
    ".sql",
)
PINNED = {"requirements.txt", "requirements-dev.txt"}


def test_no_file_is_longer_than_500_lines() -> None:
    code = [path for path in files(".py", ".html", ".js", ".css") if "/migrations/" not in relative(path)]
    found = [f"{relative(p)}: {n}" for p in code if (n := len(p.read_text().splitlines())) > 500]
    assert not found, said(
        "Split it where the story changes; the new module gets a one-line docstring.", found
    )


# Written in pieces, so that this file does not find itself.
UNFINISHED = re.compile(
    "|".join(
        rf"\b{a}{b}\b" for a, b in (("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("NotImpl", "ementedError"))
    )
)


def test_nothing_is_left_for_later() -> None:
    found = matches(UNFINISHED, [p for p in files(*TEXT) if p.suffix != ".po"])
    assert not found, said("Finish it, or open an issue and leave no mark in the code.", found)


ELSEWHERE = re.compile(
    r"(?<![\w.\-/:}])/(?:work|root|home|Users|opt)/[\w.-]+"
    r"|(?:--|^)(?:extra-)?index-url|--find-links|--trusted-host|https?://[^\s\"')]+/simple\b"
)


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    found = matches(ELSEWHERE, [p for p in files() if p.suffix in TEXT or not p.suffix])
    assert not found, said(
        "Write the path from the root of the tree; package indexes are pip's own setting.", found
    )


def matches(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """path:line of each line that matches; files that are not text are passed over."""
    found = []
    for path in paths:
        if relative(path) == "tests/test_house.py":
            continue
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{relative(path)}:{n}: {m[0]}" for n, line in enumerate(lines, 1) if (m := pattern.search(line))
        ]
    return found
