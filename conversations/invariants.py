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


# Places that an agent's capacity pays for, as `capacity` counts them: what is at rest does not count, an open
# offer does; what was given above capacity knowingly is flagged.
TAKEN = """
    SELECT c.assigned_agent_id AS agent_id, c.queue_id, c.assigned_at AS given_at
    FROM conversations_conversation c
    WHERE c.state = 'human_handoff' AND c.snoozed_until IS NULL AND c.held_at IS NULL
      AND NOT c.extra_data ? 'over_capacity'
    UNION ALL
    SELECT o.agent_id, o.queue_id, o.offered_at FROM conversations_offer o WHERE o.outcome = ''
"""

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
        WHERE q.max_queue_size IS NOT NULL AND NOT c.extra_data ? 'overflow_exhausted'
          AND (q.overflow_queue_id IS NOT NULL
               OR EXISTS (SELECT 1 FROM queues_overflowrule r WHERE r.queue_id = q.id))
        GROUP BY q.id, q.max_queue_size HAVING count(*) > q.max_queue_size
        """,
    ),
    Invariant(
        "overflow_is_told",
        "Each overflow on a conversation stands in its ledger, and the other way round (I-12).",
        """
        SELECT c.id FROM conversations_conversation c
        LEFT JOIN (SELECT conversation_id, count(*) AS n FROM conversations_event
                   WHERE type = 'overflow' GROUP BY conversation_id) e ON e.conversation_id = c.id
        WHERE coalesce(jsonb_array_length(c.extra_data -> 'overflow_history'), 0) <> coalesce(e.n, 0)
        """,
    ),
    Invariant(
        "agent_capacity",
        "No agent was given more than their capacity of that time, unless knowingly: that is flagged (I-12).",
        f"""
        SELECT a.id FROM queues_agentprofile a
        JOIN ({TAKEN}) taken ON taken.agent_id = a.member_id
        GROUP BY a.id HAVING count(*) > CASE
          WHEN max(taken.given_at) <= a.capacity_lowered_at THEN a.capacity_before ELSE a.capacity END
        """,  # noqa: S608
    ),
    Invariant(
        "queue_limit_per_agent",
        "No agent was given more from one queue than it allows each of them (I-12).",
        f"""
        SELECT a.id FROM queues_agentprofile a
        JOIN ({TAKEN}) taken ON taken.agent_id = a.member_id
        JOIN queues_queue q ON q.id = taken.queue_id AND q.max_conversations_per_agent IS NOT NULL
        GROUP BY a.id, q.id, q.max_conversations_per_agent HAVING count(*) > q.max_conversations_per_agent
        """,  # noqa: S608
    ),
    Invariant(
        "presence_is_on_record",
        "The open stretch of an agent's presence says what the agent's profile says.",
        """
        SELECT s.id FROM queues_presencespan s JOIN queues_agentprofile a ON a.id = s.agent_id
        WHERE s.ended_at IS NULL AND (s.presence <> a.presence OR s.is_automatic <> a.is_automatic
              OR s.break_reason_id IS DISTINCT FROM a.break_reason_id)
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
        "Every open conversation has a next deadline: something happens to it by itself (I-15).",
        """
        SELECT c.id FROM conversations_conversation c
        WHERE c.state <> 'closed'
          AND NOT EXISTS (SELECT 1 FROM conversations_deadline d WHERE d.conversation_id = c.id)
        """,
    ),
    Invariant(
        "one_open_stay_matches",
        "Exactly the waiting conversations have an open stay, in the queue in which they stand.",
        """
        SELECT c.id FROM conversations_conversation c
        LEFT JOIN conversations_stay s ON s.conversation_id = c.id AND s.left_at IS NULL
        WHERE (c.state = 'queued') <> (s.id IS NOT NULL)
           OR c.state = 'queued' AND (s.queue_id <> c.queue_id OR s.entered_at < c.queued_at)
        """,
    ),
    Invariant(
        "offers_hold_place",
        "Only a waiting conversation is on offer, and from the queue in which it stands.",
        """
        SELECT o.id FROM conversations_offer o JOIN conversations_conversation c ON c.id = o.conversation_id
        WHERE o.outcome = '' AND (c.state <> 'queued' OR c.queue_id IS DISTINCT FROM o.queue_id)
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
