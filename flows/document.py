"""The flow document: what a flow is when it is written down (schema 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SCHEMA = 1
NEXT, ANSWERED, INVALID, TIMEOUT, ELSE = "next", "answered", "invalid", "timeout", "else"
REFUSALS = ("closed", "full", "nobody")
MAX_NODES = 2000
# Names a template finds without a flow declaring them. A flow's own variable may not take one.
RESERVED = frozenset(
    {"contact", "channel", "organization", "conversation", "now", "today", "trigger", "forloop"}
)

Level = Literal["error", "warning"]


def gettext_noop(msgid: str) -> str:
    """Mark a sentence for translation; services.py translates it (this module may not know Django)."""
    return msgid


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `text` is the untranslated sentence, `params` what goes into it."""

    path: str
    code: str
    text: str
    level: Level = "error"
    params: Mapping[str, object] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return self.text % self.params if self.params else self.text


class InvalidDocument(Exception):
    """A document that cannot run; `problems` say what to mend and where."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{p.path}: {p.message}" for p in problems[:5]))
        self.problems = problems


Key = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
Name = Annotated[str, Field(max_length=50, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Path = Annotated[str, Field(max_length=120, pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$")]
Template = Annotated[str, Field(max_length=4096)]
Minutes = Annotated[int, Field(ge=1, le=60 * 24 * 30)]
Retries = Annotated[int, Field(ge=0, le=10)]
Scalar = str | int | float | bool | None


class Strict(BaseModel):
    """Refuses keys it does not know: a mistyped key must not be a silently ignored wish."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MessageData(Strict):
    text: Template


class Option(Strict):
    id: Key
    title: Annotated[str, Field(min_length=1, max_length=100)]


class ButtonsData(Strict):
    text: Template
    options: Annotated[tuple[Option, ...], Field(min_length=1, max_length=10)]
    variable: Name | None = None
    retries: Retries = 2
    invalid_text: Template | None = None
    timeout_minutes: Minutes | None = None


class QuestionData(Strict):
    text: Template
    variable: Name
    input: Literal["text", "number", "email", "phone", "date", "any"] = "text"
    retries: Retries = 2
    invalid_text: Template | None = None
    timeout_minutes: Minutes | None = None


Operator = Literal[
    "equals",
    "not_equals",
    "contains",
    "starts_with",
    "greater",
    "less",
    "is_empty",
    "is_not_empty",
    "matches_any",
]


class Rule(Strict):
    variable: Path
    op: Operator
    value: Scalar | tuple[Scalar, ...] = None

    @model_validator(mode="after")
    def _value_fits(self) -> Rule:
        if (self.op == "matches_any") != isinstance(self.value, tuple):
            raise ValueError("matches_any takes a list of values, every other operator takes one value")
        return self


Rules = Annotated[tuple[Rule, ...], Field(min_length=1, max_length=20)]


class Branch(Strict):
    """Taken when all (or any) of its rules hold; the first such branch wins."""

    port: Key
    all: Rules | None = None
    any: Rules | None = None

    @model_validator(mode="after")
    def _one_list(self) -> Branch:
        if (self.all is None) == (self.any is None):
            raise ValueError("a branch has either 'all' or 'any'")
        return self


class ConditionData(Strict):
    branches: Annotated[tuple[Branch, ...], Field(min_length=1, max_length=20)]


class SetData(Strict):
    variable: Name
    value: Template


class HandoffData(Strict):
    handoff_type: Literal["queue", "department", "agent"]
    queue: str | None = Field(default=None, max_length=100)
    department: str | None = Field(default=None, max_length=100)
    agent: str | None = Field(default=None, max_length=254)
    priority: Literal["low", "normal", "high", "urgent"] = "normal"
    context: Template = ""
    notice: Template = ""

    @property
    def target(self) -> str:
        return getattr(self, self.handoff_type) or ""

    @model_validator(mode="after")
    def _has_target(self) -> HandoffData:
        if not self.target:
            raise ValueError(f"a hand-over to a {self.handoff_type} names it in '{self.handoff_type}'")
        return self


class CloseData(Strict):
    reason: Literal["bot_done", "expired", "abandoned", "spam"] = "bot_done"
    text: Template = ""


NODE_TYPES: dict[str, type[Strict]] = {
    "message": MessageData,
    "buttons": ButtonsData,
    "question": QuestionData,
    "condition": ConditionData,
    "set": SetData,
    "handoff": HandoffData,
    "close": CloseData,
}
WAITING = frozenset({"buttons", "question"})


class Position(Strict):
    x: float = 0
    y: float = 0


class Variable(Strict):
    name: Name
    type: Literal["text", "number", "boolean", "date", "list"] = "text"
    default: Scalar = None


class Edge(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    source: Key = Field(alias="from")
    port: Key = NEXT
    target: Key = Field(alias="to")


class _NodeShell(Strict):
    """A node before its data is read by the model of its type."""

    id: Key
    type: str
    title: str = Field(default="", max_length=100)
    data: dict[str, Any] = Field(default_factory=dict)
    position: Position = Position()


class _DocumentShell(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    version: Literal[1] = Field(alias="schema")
    start: str = ""
    variables: Annotated[tuple[Variable, ...], Field(max_length=200)] = ()
    nodes: Annotated[tuple[dict[str, Any], ...], Field(max_length=MAX_NODES)] = ()
    edges: Annotated[tuple[Edge, ...], Field(max_length=MAX_NODES * 12)] = ()


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    type: str
    data: Any
    title: str = ""

    @property
    def waits(self) -> bool:
        """Does it stop and listen to the person?"""
        return self.type in WAITING


@dataclass(frozen=True)
class Document:
    start: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    variables: tuple[Variable, ...] = ()
    by_id: Mapping[str, Node] = field(init=False, repr=False, compare=False)
    wires: Mapping[tuple[str, str], str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Looked up at every step of every run; built once per document.
        object.__setattr__(self, "by_id", {node.id: node for node in reversed(self.nodes)})
        wires = {(edge.source, edge.port): edge.target for edge in reversed(self.edges)}
        object.__setattr__(self, "wires", wires)

    def defaults(self) -> dict[str, object]:
        return {
            variable.name: variable.default for variable in self.variables if variable.default is not None
        }


def required_ports(node: Node) -> tuple[str, ...]:
    """Ports that must lead somewhere, because a person's answer would end in nothing."""
    match node.type:
        case "question":
            return (ANSWERED,)
        case "buttons":
            return tuple(option.id for option in node.data.options)
        case "condition":
            return (*dict.fromkeys(branch.port for branch in node.data.branches), ELSE)
    return ()


def optional_ports(node: Node) -> tuple[str, ...]:
    """Ports that may lead somewhere."""
    match node.type:
        case "message" | "set":
            return (NEXT,)
        case "buttons":
            return (NEXT, INVALID, TIMEOUT)
        case "question":
            return (INVALID, TIMEOUT)
        case "handoff":
            return ("accepted", *REFUSALS)
    return ()


def parse(raw: Mapping[str, Any]) -> Document:
    """Read a document's shape; what it means as a whole is judged by checks.validate."""
    try:
        shell = _DocumentShell.model_validate(raw)
    except ValidationError as error:
        raise InvalidDocument(_problems(error, "")) from error
    problems: list[Problem] = []
    nodes = tuple(node for index, entry in enumerate(shell.nodes) if (node := _node(entry, index, problems)))
    if problems:
        raise InvalidDocument(tuple(problems))
    return Document(start=shell.start, nodes=nodes, edges=shell.edges, variables=shell.variables)


def _node(entry: Mapping[str, Any], index: int, problems: list[Problem]) -> Node | None:
    path = f"nodes[{index}]"
    try:
        shell = _NodeShell.model_validate(entry)
    except ValidationError as error:
        problems.extend(_problems(error, path))
        return None
    model = NODE_TYPES.get(shell.type)
    if model is None:
        problems.append(_unknown_type(path, shell.type))
        return None
    try:
        data = model.model_validate(shell.data)
    except ValidationError as error:
        problems.extend(_problems(error, f"{path}.data"))
        return None
    return Node(id=shell.id, type=shell.type, data=data, title=shell.title)


def _unknown_type(path: str, given: str) -> Problem:
    text = gettext_noop("There is no node type “%(type)s”. Supported: %(supported)s.")
    return Problem(
        f"{path}.type", "unknown_type", text, params={"type": given[:40], "supported": ", ".join(NODE_TYPES)}
    )


def _problems(error: ValidationError, prefix: str) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            _path(prefix, detail["loc"]),
            detail["type"],
            "%(reason)s",
            params={"reason": _sentence(detail["msg"])},
        )
        for detail in error.errors(include_url=False, include_input=False, include_context=False)
    )


def _sentence(reason: str) -> str:
    return reason.removeprefix("Value error, ")


def _path(prefix: str, location: tuple[int | str, ...]) -> str:
    path = prefix
    for part in location:
        # A union's member name is a detail of the model, not a place in the document.
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier():
            path += f".{part}" if path else part
    return path
