from django.db import migrations

from accounts.tenancy import AppendOnly, KeepInsideTenant


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0002_initial"),
        ("accounts", "0002_tenancy"),
        ("contacts", "0002_tenancy"),
        ("channels_hub", "0002_tenancy"),
        ("queues", "0002_tenancy"),
        ("flows", "0002_tenancy"),
    ]

    operations = [
        KeepInsideTenant(
            "conversation",
            "flowrun",
            "message",
            "attachment",
            "delivery",
            "note",
            "event",
            "deadline",
            "routingdecision",
            "reception",
        ),
        AppendOnly("conversations_event"),
    ]
