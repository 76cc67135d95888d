"""The desk by REST: conversations, their moves, the outbox, and what queues and channels say about them."""
