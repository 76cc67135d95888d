import django.db.models.deletion
from django.db import migrations, models

from accounts.tenancy import KeepLinkInsideTenant


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_tenancy"),
        ("queues", "0004_routing_tenancy"),
    ]

    operations = [
        migrations.AddField(
            model_name="agentprofile",
            name="capacity_before",
            field=models.PositiveSmallIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="agentprofile",
            name="capacity_lowered_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="agentprofile",
            name="passes_on_since",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="agentprofile",
            name="passes_on_to",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="accounts.membership",
            ),
        ),
        migrations.AddField(
            model_name="calendar",
            name="revision",
            field=models.PositiveIntegerField(default=1, editable=False),
        ),
        migrations.AddField(
            model_name="slapolicy",
            name="revision",
            field=models.PositiveIntegerField(default=1, editable=False),
        ),
        KeepLinkInsideTenant("agentprofile", "passes_on_to"),
    ]
