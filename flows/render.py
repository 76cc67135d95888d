"""Text templates written by users: Liquid, with limits, without clock, files or surprises."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache, wraps
from io import StringIO
from typing import Any

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions.logical import (
    BooleanExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    LtExpression,
)
from liquid.builtin.expressions.path import Path
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import FilterArgumentError, LiquidError
from liquid.expression import Expression
from liquid.undefined import Undefined

from flows.text import number

MAX_OUTPUT = 4096
MAX_SOURCE = 8192
# No value may outgrow this on its way through filters.
MAX_VALUE = 64 * 1024

TAGS = frozenset(
    {"if", "unless", "case", "for", "break", "continue", "assign", "capture", "comment", "echo", "#"}
)
INTERNAL_TAGS = frozenset({"content", "output", "illegal"})
FILTERS = frozenset(
    [
        "abs",
        "append",
        "at_least",
        "at_most",
        "capitalize",
        "ceil",
        "compact",
        "default",
        "divided_by",
        "downcase",
        "first",
        "floor",
        "join",
        "last",
        "lstrip",
        "minus",
        "modulo",
        "plus",
        "prepend",
        "remove",
        "replace",
        "reverse",
        "round",
        "rstrip",
        "size",
        "slice",
        "split",
        "strip",
        "times",
        "truncate",
        "truncatewords",
        "uniq",
        "upcase",
    ]
)
# strftime hands widths such as %999999999d to the C library, which obeys: these directives, no widths.
DATE_DIRECTIVES = frozenset("aAbBdHIjmMpSuUwWyYZ%")

_missing: ContextVar[list[str] | None] = ContextVar("missing", default=None)


class TemplateError(Exception):
    """A template that cannot be read or that asks for more than it may have."""


class _Missing(Undefined):
    """Renders as nothing, and says that it was asked for."""

    __slots__ = ()

    def __str__(self) -> str:
        names = _missing.get()
        if names is not None:
            names.append(_name_of(self))
        return ""


def _name_of(undefined: Undefined) -> str:
    """The whole path that was asked for: Liquid keeps it in a sentence, in `name` only its root."""
    path, said, _ = (undefined.hint or "").partition(" is undefined")
    return path.strip("'\"") if said else undefined.name


class _Truth(Path):
    """A variable used as a condition: Liquid calls "" true, people who write `{% if name %}` do not."""

    def evaluate(self, context: RenderContext) -> object:
        value = super().evaluate(context)
        return None if value == "" else value


class _Amount(Path):
    """A variable in < or >: answers are kept as text, "5" is meant as 5."""

    def evaluate(self, context: RenderContext) -> object:
        value = super().evaluate(context)
        amount = number(value) if isinstance(value, str) else None
        return value if amount is None else amount


READ_AS: dict[type[Expression], type[Path]] = {
    BooleanExpression: _Truth,
    LogicalAndExpression: _Truth,
    LogicalOrExpression: _Truth,
    **dict.fromkeys((LtExpression, GtExpression, LeExpression, GeExpression), _Amount),
}


class _Full(Exception):
    """The output is as long as it may be."""


class _Capped(StringIO):
    """Keeps the first MAX_OUTPUT characters and then stops the rendering."""

    def __init__(self) -> None:
        super().__init__()
        self.room = MAX_OUTPUT

    def write(self, text: str, /) -> int:
        super().write(text[: self.room])
        self.room -= len(text)
        if self.room < 0:
            raise _Full
        return len(text)


class _Limited(Environment):
    block_nesting_limit = 10
    context_depth_limit = 10
    loop_iteration_limit = 1000
    local_namespace_limit = MAX_VALUE
    output_stream_limit = MAX_VALUE


def _bounded(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """No filter takes or gives a value longer than MAX_VALUE."""

    @wraps(filter_)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            _refuse_long(arg)
        result = filter_(*args, **kwargs)
        _refuse_long(result)
        return result

    return bounded


def _refuse_long(value: object) -> None:
    if (isinstance(value, str | list | tuple | range) and len(value) > MAX_VALUE) or (
        isinstance(value, int) and value.bit_length() > 256
    ):
        raise FilterArgumentError("a value grew too long", token=None)


def _replace(value: object, seek: object = "", by: object = "") -> str:
    """Counts before it replaces: a few chained replacements would otherwise fill the memory."""
    text, wanted, new = _text(value), _text(seek), _text(by)
    if text.count(wanted) * len(new) > MAX_VALUE:
        raise FilterArgumentError("a value grew too long", token=None)
    return text.replace(wanted, new)


def _join(value: object, separator: object = " ") -> str:
    items = [_text(item) for item in value] if isinstance(value, list | tuple) else [_text(value)]
    between = _text(separator)
    if sum(map(len, items)) + len(items) * len(between) > MAX_VALUE:
        raise FilterArgumentError("a value grew too long", token=None)
    return between.join(items)


def _date(value: object, pattern: object = "%d/%m/%Y") -> str:
    """Format a date or an ISO 8601 text. Never reads a clock: the same flow must render the same twice."""
    moment, directives = _moment(value), str(pattern)
    if moment is None:
        return _text(value)
    for percent, letter in zip(directives, directives[1:] + " ", strict=True):
        if percent == "%" and letter not in DATE_DIRECTIVES:
            raise FilterArgumentError(f"date does not know %{letter}", token=None)
    return moment.strftime(directives)


def _moment(value: object) -> dt.date | None:
    if isinstance(value, dt.date):
        return value
    try:
        return dt.datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _environment() -> Environment:
    environment = _Limited(undefined=_Missing, strict_filters=True)
    environment.tags = {k: v for k, v in environment.tags.items() if k in TAGS | INTERNAL_TAGS}
    kept = {name: environment.filters[name] for name in FILTERS} | {
        "replace": _replace,
        "join": _join,
        "date": _date,
    }
    environment.filters = {name: _bounded(filter_) for name, filter_ in kept.items()}
    return environment


ENVIRONMENT = _environment()


def is_plain(template: str) -> bool:
    """Most texts hold nothing to fill in."""
    return "{{" not in template and "{%" not in template


def render(template: str, context: Mapping[str, object]) -> str:
    """The text with its variables filled in; a missing one leaves nothing behind."""
    return render_reporting(template, context)[0]


def render_reporting(template: str, context: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    """Like render, with the names that were asked for and not found. Raises TemplateError."""
    if is_plain(template):
        return template[:MAX_OUTPUT], ()
    parsed, buffer = compiled(template), _Capped()
    missing: list[str] = []
    mark = _missing.set(missing)
    try:
        parsed.render_with_context(
            RenderContext(parsed, globals={"now": None, "today": None, **context}), buffer
        )
    except _Full:
        pass
    except (LiquidError, ArithmeticError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise TemplateError(_reason(error)) from error
    finally:
        _missing.reset(mark)
    return buffer.getvalue(), tuple(dict.fromkeys(missing))


@lru_cache(maxsize=4096)
def compiled(template: str) -> BoundTemplate:
    """Parse once per text. Raises TemplateError on anything that is not understood."""
    if len(template) > MAX_SOURCE:
        raise TemplateError(f"a template holds at most {MAX_SOURCE} characters")
    try:
        parsed = ENVIRONMENT.from_string(template)
    except (LiquidError, ValueError, RecursionError) as error:
        raise TemplateError(_reason(error)) from error
    expressions = tuple(_expressions(parsed))
    if any(isinstance(expression, RangeLiteral) for expression in expressions):
        # (1..999999999) is built in full before any limit looks at it.
        raise TemplateError("ranges such as (1..9) are not supported")
    if unknown := set(parsed.analyze(include_partials=False).filters) - set(ENVIRONMENT.filters):
        raise TemplateError(f"unknown filter '{min(unknown)}'")
    for expression in expressions:
        _read_as_people_mean(expression)
    return parsed


def _read_as_people_mean(expression: Expression) -> None:
    kind = READ_AS.get(type(expression))
    for side in ("expression", "left", "right") if kind else ():
        operand = getattr(expression, side, None)
        if kind and type(operand) is Path:
            setattr(expression, side, kind(operand.token, operand.path))


def _expressions(parsed: BoundTemplate) -> Iterator[Expression]:
    context = RenderContext(parsed)
    waiting: list[Node | Expression] = list(parsed.nodes)
    while waiting:
        item = waiting.pop()
        if isinstance(item, Node):
            waiting.extend(item.children(context, include_partials=False))
            waiting.extend(item.expressions())
        else:
            yield item
            waiting.extend(item.children())


@lru_cache(maxsize=4096)
def variables_of(template: str) -> tuple[str, ...]:
    """Root names a template needs from outside, in order. Raises TemplateError."""
    if is_plain(template):
        return ()
    found = compiled(template).analyze(include_partials=False).globals
    return tuple(found)


def _reason(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
