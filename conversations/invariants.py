"""The judge: what must be true of any database of the desk, as SQL that returns the offenders.

Run after chaos, every night and after a restore: `manage.py check_invariants --json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection


@dataclass(frozen=True, slots=True)
class Invariant:
    """`sql` selects the id of each offender; an empty result is the promise kept."""

    name: str
    promise: str
    sql: str


@dataclass(frozen=True, slots=True)
class Finding:
    invariant: Invariant
    count: int
    examples: tuple[str, ...]


CHECKS: tuple[Invariant, ...] = (
    Invariant(
        "ledger_without_gap",
        "The ledger of a conversation counts 1, 2, 3 ... up to the conversation's seq (I-10).",
        """
        SELECT c.id FROM conversations_conversation c
        LEFT JOIN (SELECT conversation_id, count(*) AS n, max(seq) AS top, min(seq) AS low
                   FROM conversations_event GROUP BY conversation_id) e ON e.conversation_id = c.id
        WHERE c.seq <> coalesce(e.n, 0) OR c.seq <> coalesce(e.top, 0) OR (e.n > 0 AND e.low <> 1)
        """,
    ),
    Invariant(
        "state_is_the_last_move",
        "A conversation stands where the last move in its ledger took it (I-10).",
        """
        SELECT c.id FROM conversations_conversation c
        JOIN LATERAL (SELECT data ->> 'to' AS target FROM conversations_event e
                      WHERE e.conversation_id = c.id AND e.data ? 'to' AND e.data ? 'from'
                        AND e.type IN ('start_bot', 'enqueue', 'requeue', 'claim', 'assign', 'take_over',
                                       'hand_on', 'release_to_bot', 'close')
                      ORDER BY seq DESC LIMIT 1) last ON true
        WHERE last.target <> c.state
        """,
    ),
    Invariant(
        "moves_are_chained",
        "Each move starts in the state in which the one before it ended (I-10).",
        """
        SELECT id FROM (
          SELECT id, data ->> 'from' AS source,
                 lag(data ->> 'to') OVER (PARTITION BY conversation_id ORDER BY seq) AS previous
          FROM conversations_event
          WHERE type IN ('start_bot', 'enqueue', 'requeue', 'claim', 'assign', 'take_over', 'hand_on',
                         'release_to_bot', 'close')) moves
        WHERE previous IS NOT NULL AND previous <> source
        """,
    ),
    Invariant(
        "one_owner",
        "Exactly the conversations with an agent have one, and only waiting ones stand in a queue (I-11).",
        """
        SELECT id FROM conversations_conversation
        WHERE (state = 'human_handoff') <> (assigned_agent_id IS NOT NULL) AND state <> 'closed'
           OR (state = 'queued') <> (queued_at IS NOT NULL)
        """,
    ),
    Invariant(
        "queue_limits",
        "No queue holds more than its places, but for those flagged: no room anywhere (I-12).",
        """
        SELECT q.id FROM queues_queue q
        JOIN conversations_conversation c ON c.queue_id = q.id AND c.state = 'queued'
        WHERE q.max_queue_size IS NOT NULL AND q.overflow_queue_id IS NOT NULL
          AND NOT c.extra_data ? 'overflow_exhausted'
        GROUP BY q.id, q.max_queue_size HAVING count(*) > q.max_queue_size
        """,
    ),
    Invariant(
        "agent_capacity",
        "No agent was given more conversations than their capacity (I-12).",
        """
        SELECT a.id FROM queues_agentprofile a
        JOIN conversations_conversation c ON c.assigned_agent_id = a.member_id
         AND c.state = 'human_handoff' AND c.snoozed_until IS NULL
        GROUP BY a.id, a.capacity HAVING count(*) > a.capacity
        """,
    ),
    Invariant(
        "bot_silent_with_people",
        "After a hand-over the bot says nothing until it is given the conversation again (I-14).",
        """
        SELECT m.id FROM conversations_message m
        JOIN LATERAL (SELECT data ->> 'to' AS target, seq FROM conversations_event e
                      WHERE e.conversation_id = m.conversation_id AND e.seq < m.seq AND e.data ? 'to'
                        AND e.data ? 'from' ORDER BY e.seq DESC LIMIT 1) before ON true
        WHERE m.sender = 'bot' AND before.target <> 'bot'
        """,
    ),
    Invariant(
        "nobody_is_forgotten",
        "Every open conversation has an agent, a queue, a deadline or a call for a supervisor (I-15).",
        """
        SELECT c.id FROM conversations_conversation c
        WHERE c.state IN ('pending', 'bot')
          AND NOT EXISTS (SELECT 1 FROM conversations_deadline d WHERE d.conversation_id = c.id)
          AND NOT EXISTS (SELECT 1 FROM conversations_event e
                          WHERE e.conversation_id = c.id AND e.type = 'attention')
          AND EXISTS (SELECT 1 FROM conversations_message m
                      WHERE m.conversation_id = c.id AND m.direction = 'in' AND m.seq > c.heard_seq)
        """,
    ),
    Invariant(
        "messages_in_the_ledger",
        "Every message stands in the ledger at its own number.",
        """
        SELECT m.id FROM conversations_message m
        LEFT JOIN conversations_event e ON e.conversation_id = m.conversation_id AND e.seq = m.seq
        WHERE e.id IS NULL OR e.data ->> 'message' IS DISTINCT FROM m.id::text
        """,
    ),
    Invariant(
        "message_status_is_the_parts",
        "A message's status is folded from its parts (I-20).",
        """
        SELECT m.id FROM conversations_message m
        JOIN conversations_delivery d ON d.message_id = m.id
        WHERE m.direction = 'out' GROUP BY m.id, m.status
        HAVING count(*) = 1 AND min(d.status) <> m.status AND min(d.status) <> 'processing'
        """,
    ),
    Invariant(
        "at_most_once",
        "What the platform took has its id; nothing with an id goes back into the outbox (I-18).",
        """
        SELECT id FROM conversations_delivery
        WHERE provider_id <> '' AND status IN ('pending', 'retrying')
        """,
    ),
    Invariant(
        "handed_over_in_order",
        "No message of a conversation was accepted while an earlier one was still waiting (I-19).",
        """
        SELECT later.id FROM conversations_delivery later
        JOIN conversations_delivery earlier ON earlier.conversation_id = later.conversation_id
         AND (earlier.seq, earlier.part) < (later.seq, later.part)
        WHERE later.status IN ('processing', 'queued', 'sent', 'delivered', 'read')
          AND earlier.status IN ('pending', 'retrying')
          AND NOT EXISTS (SELECT 1 FROM conversations_event e
                          WHERE e.conversation_id = earlier.conversation_id AND e.type = 'message_retried'
                            AND e.data ->> 'message' = earlier.message_id::text)
        """,
    ),
    Invariant(
        "settled_inbox",
        "No raw event that was acknowledged is older than an hour and still unprocessed (I-01).",
        """
        SELECT id FROM channels_hub_inboundevent
        WHERE state = 'new' AND received_at < now() - interval '1 hour'
        """,
    ),
    Invariant(
        "one_live_run",
        "A flow runs only in a conversation that is with the bot.",
        """
        SELECT r.id FROM conversations_flowrun r
        JOIN conversations_conversation c ON c.id = r.conversation_id
        WHERE r.ended_at IS NULL AND c.state <> 'bot'
        """,
    ),
)


def findings() -> Iterator[Finding]:
    """The invariants that do not hold, each with its first offenders. Looks across all organizations."""
    for invariant in CHECKS:
        with connection.cursor() as cursor:
            offenders = f"SELECT count(*) OVER (), id::text FROM ({invariant.sql}) x(id) LIMIT 5"  # noqa: S608
            cursor.execute(offenders)
            rows = cursor.fetchall()
        if rows:
            yield Finding(invariant, rows[0][0], tuple(row[1] for row in rows))
