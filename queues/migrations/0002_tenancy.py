from django.db import migrations

from accounts.tenancy import KeepInsideTenant


class Migration(migrations.Migration):
    dependencies = [
        ("queues", "0001_initial"),
        ("accounts", "0002_tenancy"),
    ]

    operations = [
        KeepInsideTenant("calendar", "department", "queue", "skill", "agentprofile", "agentskill"),
    ]
