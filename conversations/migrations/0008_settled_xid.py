"""Up to where the ledger can be read without missing what commits late."""

from django.db import migrations

# Transactions of other databases count in PostgreSQL's snapshots too, but can't write here: a long one next
# door must not hold our live pages back. A backend that ended after the snapshot was taken still counts.
CREATE = """
CREATE FUNCTION conversations_settled_xid() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT running.xid FROM pg_snapshot_xip(pg_current_snapshot()) AS running(xid)
         WHERE NOT EXISTS (SELECT 1 FROM pg_stat_activity other
                           WHERE other.backend_xid = running.xid::xid AND other.datname <> current_database())
         ORDER BY running.xid LIMIT 1),
        pg_snapshot_xmax(pg_current_snapshot()))
$$
"""


class Migration(migrations.Migration):
    dependencies = [("conversations", "0007_waiting_figures")]

    operations = [
        migrations.RunSQL(CREATE, "DROP FUNCTION conversations_settled_xid()"),
    ]
