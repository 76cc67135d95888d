"""What the house does not want to see in its Python, as functions from a syntax tree to line numbers.

Heuristics by name: they cannot prove, they remind. Each is tried on a good and a bad sample in
`test_detectors.py`, so that none is blind.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

VERBS = frozenset(
    {"start_bot", "enqueue", "requeue", "claim", "assign", "take_over", "hand_on", "release_to_bot", "close"}
)
LOCKS = frozenset({"moving", "writing"})
NETWORK = ("requests", "httpx", "aiohttp", "urllib3", "urllib.request", "http.client")
SIGNALS = ("django.db.models.signals", "django.dispatch", "django.core.signals", "celery.signals")
CALLS_OUT = frozenset({"send", "post", "fetch", "urlopen", "download"})
PERSONAL = frozenset(
    {
        "phone", "name", "text", "body", "address", "email", "raw", "sender", "value", "caption", "preview",
        "token", "secret", "secrets", "password", "filename", "payload", "form", "params",
    }
)  # fmt: skip
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every imported module, also `from package import module`, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def imports_of(tree: ast.AST, modules: tuple[str, ...]) -> set[int]:
    return {
        line
        for name, line in imports(tree)
        if any(name == module or name.startswith(f"{module}.") for module in modules)
    }


def signals(tree: ast.Module) -> set[int]:
    return imports_of(tree, SIGNALS)


def network(tree: ast.Module) -> set[int]:
    return imports_of(tree, NETWORK)


def imports_inside_functions(tree: ast.Module) -> set[int]:
    return {
        inner.lineno
        for node in ast.walk(tree)
        if isinstance(node, Function)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }


def saves_without_fields(tree: ast.Module) -> set[int]:
    """`row.save()` writes every column back, also those that somebody else changed meanwhile."""
    return {
        call.lineno
        for call in _calls(tree)
        if _called(call) == "save" and not {"update_fields", "force_insert"} & {k.arg for k in call.keywords}
    }


def state_writes(tree: ast.Module) -> set[int]:
    """A conversation's state set by hand, or by an UPDATE past the door."""
    found = {
        target.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        for target in _targets(node)
        if isinstance(target, ast.Attribute)
        and target.attr == "state"
        and _names(target.value, "conversation")
    }
    return found | {
        call.lineno
        for call in _calls(tree)
        if _called(call) in {"update", "bulk_update"}
        and "state" in {k.arg for k in call.keywords}
        and isinstance(call.func, ast.Attribute)
        and _names(call.func.value, "Conversation")
    }


def verbs_outside_moving(tree: ast.Module) -> set[tuple[str, int]]:
    """(function, line) of each verb called on a conversation without a lexical `with moving(` around it."""
    found: set[tuple[str, int]] = set()

    def visit(node: ast.AST, function: str, is_moving: bool) -> None:
        if isinstance(node, Function):
            function, is_moving = node.name, False
        if isinstance(node, ast.With):
            is_moving = is_moving or any(_opens(item.context_expr, {"moving"}) for item in node.items)
        if isinstance(node, ast.Call) and _called(node) in VERBS and not is_moving:
            subject = node.func.value if isinstance(node.func, ast.Attribute) else None
            if isinstance(subject, ast.Name) and "conversation" in subject.id.lower():
                found.add((function, node.lineno))
        for child in ast.iter_child_nodes(node):
            visit(child, function, is_moving)

    visit(tree, "", False)
    return found


def calls_out_in_transaction(tree: ast.Module) -> set[int]:
    """Something that looks like a network call between BEGIN and COMMIT."""
    return {
        call.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        and any(_opens(item.context_expr, {"atomic", *LOCKS}) for item in node.items)
        for call in _calls(node)
        if _called(call) in CALLS_OUT
        or (isinstance(call.func, ast.Attribute) and _is(call.func.value, "http"))
    }


def personal_logs(tree: ast.Module) -> set[int]:
    """A log line that is given a name, an address, a text, a secret, or a whole exception."""
    return {
        call.lineno
        for call in _calls(tree)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in LOG_METHODS
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in {"logger", "logging", "log"}
        if any(_is_personal(argument) for argument in call.args)
    }


def _is_personal(argument: ast.expr) -> bool:
    match argument:
        case ast.Name(id=name):
            return name in PERSONAL or name in {"error", "exception"}
        case ast.Attribute(attr=name):
            return name in PERSONAL
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[inner, *_]):
            return _is_personal(inner)
        case ast.JoinedStr() | ast.BinOp():
            return True
    return False


def tasks_with_more_than_ids(tree: ast.Module) -> set[int]:
    """A Celery task whose arguments would carry content through Redis."""
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, Function) and any(_opens(d, {"shared_task", "task"}) for d in node.decorator_list)
        if any(not _is_id(a.arg) for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
    }


def _is_id(name: str) -> bool:
    return name in {"self", "pk", "id"} or name.endswith(("_id", "_pk"))


def trusting_html(tree: ast.Module) -> set[int]:
    found = imports_of(tree, ("django.utils.safestring",))
    return found | {call.lineno for call in _calls(tree) if _called(call) in {"mark_safe", "SafeString"}}


def csrf_exemptions(tree: ast.Module) -> set[int]:
    return imports_of(tree, ("django.views.decorators.csrf.csrf_exempt",))


# ---------------------------------------------------------------- pieces
def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _called(call: ast.Call) -> str:
    """The last part of what is called: `save` of `a.b.save()`."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _opens(expression: ast.expr, names: set[str]) -> bool:
    """`moving(...)`, `transaction.atomic()` or the bare name."""
    if isinstance(expression, ast.Call):
        return _called(expression) in names
    return isinstance(expression, ast.Name | ast.Attribute) and _last(expression) in names


def _last(expression: ast.Name | ast.Attribute) -> str:
    return expression.id if isinstance(expression, ast.Name) else expression.attr


def _is(expression: ast.expr, name: str) -> bool:
    return isinstance(expression, ast.Name) and expression.id == name


def _names(expression: ast.expr, name: str) -> bool:
    """Whether a name occurs in an expression (`seen.conversation`, `Conversation.objects.filter()`)."""
    return any(
        (isinstance(node, ast.Name) and node.id == name)
        or (isinstance(node, ast.Attribute) and node.attr == name)
        for node in ast.walk(expression)
    )


def _targets(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> Iterator[ast.expr]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        yield from target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
