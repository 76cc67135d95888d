from django.db import migrations

from accounts.tenancy import AppendOnly, KeepInsideTenant


class Migration(migrations.Migration):
    dependencies = [
        ("flows", "0001_initial"),
        ("accounts", "0002_tenancy"),
        ("channels_hub", "0002_tenancy"),
    ]

    operations = [
        KeepInsideTenant("flow", "flowversion", "trigger"),
        AppendOnly("flows_flowversion"),
    ]
