from django.db import migrations

from accounts.tenancy import KeepInsideTenant, KeepLinkInsideTenant


class Migration(migrations.Migration):
    dependencies = [("queues", "0003_routing")]

    operations = [
        KeepInsideTenant(
            "breakreason",
            "presencespan",
            "desksettings",
            "overflowrule",
            "slapolicy",
            "slaescalation",
            "routingcall",
        ),
        KeepLinkInsideTenant("queue", "sla_policy"),
        KeepLinkInsideTenant("agentprofile", "break_reason"),
    ]
