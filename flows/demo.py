"""The flow every new installation starts with: greets, offers a menu, asks an order number, hands over."""

from __future__ import annotations

from typing import Any

SLUG = "atendimento"
NAME = "Atendimento"


def _node(name: str, kind: str, title: str, x: int, y: int, **data: object) -> dict[str, Any]:
    return {"id": name, "type": kind, "title": title, "data": data, "position": {"x": x, "y": y}}


def _edge(source: str, port: str, target: str) -> dict[str, str]:
    return {"from": source, "port": port, "to": target}


NODES = [
    _node(
        "boas_vindas",
        "message",
        "Boas-vindas",
        0,
        200,
        text="Olá{% if contact.name %}, {{ contact.name }}{% endif %}! Aqui é o atendimento da "
        "{{ organization.name | default: 'nossa loja' }}.",
    ),
    _node(
        "menu",
        "buttons",
        "Menu",
        300,
        200,
        text="Como posso ajudar?",
        options=[
            {"id": "pedido", "title": "Acompanhar pedido"},
            {"id": "segunda_via", "title": "Segunda via"},
            {"id": "humano", "title": "Falar com atendente"},
        ],
        variable="assunto",
        retries=2,
        invalid_text="Não entendi. Toque em uma das opções ou responda com o número dela.",
        timeout_minutes=60,
    ),
    _node(
        "numero",
        "question",
        "Número do pedido",
        600,
        0,
        text="Qual é o número do pedido?",
        variable="order_id",
        input="number",
        retries=2,
        invalid_text="Preciso só do número do pedido, por exemplo 12345.",
        timeout_minutes=15,
    ),
    _node("recebido", "message", "Pedido recebido", 900, 0, text="Recebi: pedido {{ order_id }}."),
    _node(
        "suporte_pedido",
        "handoff",
        "Suporte: pedido",
        1200,
        0,
        handoff_type="queue",
        queue="suporte",
        priority="high",
        context="Pedido {{ order_id }}",
        notice="Transferindo para um atendente...",
    ),
    _node(
        "segunda_via_enviada",
        "close",
        "Segunda via",
        600,
        200,
        text="A segunda via fica na área do cliente, em Financeiro > Boletos. "
        "Se precisar de mais alguma coisa, é só escrever.",
    ),
    _node(
        "suporte",
        "handoff",
        "Suporte",
        600,
        400,
        handoff_type="queue",
        queue="suporte",
        priority="normal",
        context="Assunto: {{ assunto | default: 'não informado' }}",
        notice="Transferindo para um atendente...",
    ),
    _node(
        "sem_resposta",
        "close",
        "Sem resposta",
        600,
        600,
        reason="expired",
        text="Encerrei por falta de resposta.",
    ),
]

EDGES = [
    _edge("boas_vindas", "next", "menu"),
    _edge("menu", "pedido", "numero"),
    _edge("menu", "segunda_via", "segunda_via_enviada"),
    _edge("menu", "humano", "suporte"),
    _edge("menu", "invalid", "suporte"),
    _edge("menu", "timeout", "sem_resposta"),
    _edge("numero", "answered", "recebido"),
    _edge("numero", "invalid", "suporte"),
    _edge("numero", "timeout", "suporte"),
    _edge("recebido", "next", "suporte_pedido"),
]


def document() -> dict[str, Any]:
    """The demo flow as it is stored; fresh at every call, so that nobody edits it for everybody."""
    return {
        "schema": 1,
        "start": "boas_vindas",
        "variables": [{"name": "order_id", "type": "text"}, {"name": "assunto", "type": "text"}],
        "nodes": [{**node, "data": dict(node["data"])} for node in NODES],
        "edges": [dict(edge) for edge in EDGES],
    }
