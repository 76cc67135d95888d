"""What is wrong with a flow before anybody talks to it: errors stop publishing, warnings do not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flows.document import (
    INVALID,
    NEXT,
    RESERVED,
    TIMEOUT,
    Document,
    InvalidDocument,
    Level,
    Node,
    Problem,
    gettext_noop,
    optional_ports,
    parse,
    required_ports,
)
from flows.render import TemplateError, variables_of
from flows.text import fold

# WhatsApp Cloud API: interactive reply buttons and interactive lists (Twilio passes the same limits on).
BUTTONS, BUTTON_TITLE, ROW_TITLE, INTERACTIVE_TEXT = 3, 20, 24, 1024

Found = Iterator[Problem]


@dataclass(frozen=True, slots=True)
class Report:
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.errors


def review(raw: Mapping[str, Any]) -> Report:
    """Read and judge a document in one go, as a builder needs it while somebody draws."""
    try:
        return validate(parse(raw))
    except InvalidDocument as error:
        return Report(errors=error.problems)


def validate(document: Document) -> Report:
    found = tuple(problem for check in CHECKS for problem in check(document))
    return Report(
        errors=tuple(p for p in found if p.level == "error"),
        warnings=tuple(p for p in found if p.level == "warning"),
    )


def _problem(path: str, code: str, text: str, level: Level = "error", **params: object) -> Problem:
    return Problem(path, code, text, level, params)


def _at(node: Node) -> str:
    return f"nodes.{node.id}"


# identity and wiring -------------------------------------------------------------------------------


def duplicates(document: Document) -> Found:
    text = gettext_noop("“%(name)s” is used %(count)s times.")
    kinds: dict[str, Iterable[str]] = {
        "nodes": (node.id for node in document.nodes),
        "variables": (variable.name for variable in document.variables),
        "edges": (f"{edge.source}.{edge.port}" for edge in document.edges),
    }
    for kind, names in kinds.items():
        for name, count in Counter(names).items():
            if count > 1:
                yield _problem(f"{kind}.{name}", "duplicate", text, name=name, count=count)


def start(document: Document) -> Found:
    if document.start not in document.by_id:
        yield _problem("start", "missing_start", gettext_noop("The flow has no first step."))


def edges(document: Document) -> Found:
    for index, edge in enumerate(document.edges):
        path = f"edges[{index}]"
        for end in (edge.source, edge.target):
            if end not in document.by_id:
                text = gettext_noop("This connection points to “%(node)s”, which does not exist.")
                yield _problem(path, "dangling_edge", text, node=end)
        node = document.by_id.get(edge.source)
        if node and edge.port not in (*required_ports(node), *optional_ports(node)):
            text = gettext_noop("“%(node)s” has no exit “%(port)s”.")
            yield _problem(path, "unknown_port", text, node=node.id, port=edge.port)
        elif node and edge.port == "accepted":
            text = gettext_noop(
                "The bot is silent once a person has the conversation: nothing runs from here."
            )
            yield _problem(path, "after_handoff", text, "warning")


def dead_ends(document: Document) -> Found:
    for node in document.nodes:
        fallback = node.type == "buttons" and (node.id, NEXT) in document.wires
        for port in () if fallback else required_ports(node):
            if (node.id, port) not in document.wires:
                text = gettext_noop("The exit “%(port)s” leads nowhere.")
                yield _problem(_at(node), "dead_end", text, port=port)
        if node.type in ("message", "set") and (node.id, NEXT) not in document.wires:
            text = gettext_noop("Nothing follows: the conversation closes here.")
            yield _problem(_at(node), "implicit_end", text, "warning")
        yield from _unwired_timeout(document, node)


def _unwired_timeout(document: Document, node: Node) -> Found:
    if node.waits and node.data.timeout_minutes and (node.id, TIMEOUT) not in document.wires:
        text = gettext_noop("When the time runs out, the conversation closes as expired.")
        yield _problem(_at(node), "timeout_closes", text, "warning")
    if node.waits and (node.id, INVALID) not in document.wires:
        text = gettext_noop("After too many wrong answers the conversation goes to a person.")
        yield _problem(_at(node), "invalid_escalates", text, "warning")


# paths ---------------------------------------------------------------------------------------------


def reachable(document: Document) -> set[str]:
    """Steps that somebody can get to. What hangs on a hand-over's 'accepted' never runs."""
    following = defaultdict(list)
    for (source, port), target in document.wires.items():
        if port != "accepted":
            following[source].append(target)
    seen: set[str] = set()
    waiting = [document.start]
    while waiting:
        node = waiting.pop()
        if node in document.by_id and node not in seen:
            seen.add(node)
            waiting.extend(following[node])
    return seen


def paths(document: Document) -> Found:
    if document.start not in document.by_id:
        return
    seen = reachable(document)
    for node in document.nodes:
        if node.id not in seen:
            yield _problem(_at(node), "unreachable", gettext_noop("No path leads to this step."), "warning")
    if not any(document.by_id[name].type == "handoff" for name in seen):
        text = gettext_noop("There is no way to a person in this flow.")
        yield _problem("nodes", "no_human", text, "warning")


def loops(document: Document) -> Found:
    """A circle that turns without the person: it would talk forever, at once or timeout by timeout."""
    following = _automatic(document)
    incoming = Counter(target for targets in following.values() for target in targets)
    ready = [name for name in following if not incoming[name]]
    left = set(following)
    while ready:
        name = ready.pop()
        left.discard(name)
        for target in following[name]:
            incoming[target] -= 1
            if not incoming[target]:
                ready.append(target)
    for name in _circling(following, left):
        text = gettext_noop("This step can repeat forever without an answer from the person.")
        yield _problem(f"nodes.{name}", "endless_loop", text)


def _automatic(document: Document) -> dict[str, list[str]]:
    """Per step, where it can go without hearing from the person."""
    following: dict[str, list[str]] = {node.id: [] for node in document.nodes}
    for (source, port), target in document.wires.items():
        node = document.by_id.get(source)
        answers = node is None or (node.waits and port != TIMEOUT) or port == "accepted"
        if not answers and target in following:
            following[source].append(target)
    return following


def _circling(following: Mapping[str, list[str]], left: set[str]) -> list[str]:
    """Of the steps at or behind a circle, those from which it goes on: strip the tails that end."""
    before = defaultdict(list)
    outgoing = dict.fromkeys(left, 0)
    for name in left:
        for target in following[name]:
            if target in left:
                before[target].append(name)
                outgoing[name] += 1
    ready = [name for name, count in outgoing.items() if not count]
    circle = set(left)
    while ready:
        name = ready.pop()
        circle.discard(name)
        for source in before[name]:
            outgoing[source] -= 1
            if not outgoing[source]:
                ready.append(source)
    return [name for name in following if name in circle]


# words ---------------------------------------------------------------------------------------------


def templates_of(node: Node) -> Iterator[tuple[str, str]]:
    """Every text of a step that may hold variables, with its field."""
    for name in ("text", "invalid_text", "value", "context", "notice"):
        if template := getattr(node.data, name, None):
            yield name, template
    for index, branch in enumerate(getattr(node.data, "branches", ())):
        for rule in branch.all or branch.any:
            for value in rule.value if isinstance(rule.value, tuple) else (rule.value,):
                if isinstance(value, str):
                    yield f"branches[{index}]", value


def declared(document: Document) -> set[str]:
    names = {variable.name for variable in document.variables}
    return names | {name for node in document.nodes if (name := getattr(node.data, "variable", None))}


def variables(document: Document) -> Found:
    known = declared(document)
    for name in sorted(known & RESERVED):
        text = gettext_noop("“%(name)s” is a name of the system; choose another.")
        yield _problem(f"variables.{name}", "reserved_name", text, name=name)
    known |= RESERVED
    for node in document.nodes:
        for place, name in _used(node):
            if name not in known:
                text = gettext_noop("The variable “%(name)s” is never set.")
                yield _problem(f"{_at(node)}.{place}", "undefined_variable", text, name=name)


def _used(node: Node) -> Iterator[tuple[str, str]]:
    for place, template in templates_of(node):
        try:
            yield from ((place, name) for name in variables_of(template))
        except TemplateError:
            continue  # reported by texts()
    for index, branch in enumerate(getattr(node.data, "branches", ())):
        for rule in branch.all or branch.any:
            yield f"branches[{index}]", rule.variable.partition(".")[0]


def texts(document: Document) -> Found:
    for node in document.nodes:
        for place, template in templates_of(node):
            try:
                variables_of(template)
            except TemplateError as error:
                text = gettext_noop("This text cannot be read: %(reason)s.")
                yield _problem(f"{_at(node)}.{place}", "template", text, reason=str(error))
        if node.type in ("message", "buttons", "question") and not node.data.text.strip():
            yield _problem(f"{_at(node)}.text", "empty_text", gettext_noop("There is no text to send."))


# platforms -----------------------------------------------------------------------------------------


def options(document: Document) -> Found:
    for node in document.nodes:
        if node.type == "buttons":
            yield from _ambiguous(node)
            yield from _too_long_for_whatsapp(node)


def _ambiguous(node: Node) -> Found:
    ids = Counter(option.id for option in node.data.options)
    titles = Counter(fold(option.title) for option in node.data.options)
    for name, count in ids.items():
        if count > 1:
            text = gettext_noop("Two options share the id “%(name)s”.")
            yield _problem(f"{_at(node)}.options", "duplicate_option", text, name=name)
        if name in (NEXT, INVALID, TIMEOUT):
            text = gettext_noop("An option may not be called “%(name)s”.")
            yield _problem(f"{_at(node)}.options", "reserved_option", text, name=name)
    for name, count in titles.items():
        if count > 1:
            text = gettext_noop("Two options read the same: “%(name)s”.")
            yield _problem(f"{_at(node)}.options", "duplicate_title", text, name=name)


def _too_long_for_whatsapp(node: Node) -> Found:
    longest = BUTTON_TITLE if len(node.data.options) <= BUTTONS else ROW_TITLE
    for option in node.data.options:
        if len(option.title) > longest:
            text = gettext_noop("WhatsApp shows at most %(limit)s characters of “%(title)s”.")
            yield _problem(
                f"{_at(node)}.options", "whatsapp_title", text, "warning", limit=longest, title=option.title
            )
    if len(node.data.text) > INTERACTIVE_TEXT:
        text = gettext_noop("WhatsApp takes at most %(limit)s characters of text together with options.")
        yield _problem(f"{_at(node)}.text", "whatsapp_text", text, "warning", limit=INTERACTIVE_TEXT)


CHECKS: tuple[Callable[[Document], Found], ...] = (
    duplicates,
    start,
    edges,
    dead_ends,
    paths,
    loops,
    texts,
    variables,
    options,
)
