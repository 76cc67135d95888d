from django.db import migrations

from accounts.tenancy import AppendOnly, KeepInsideTenant


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        KeepInsideTenant("membership", "apikey", "refreshfamily", "idempotencykey", "auditentry"),
        AppendOnly("accounts_auditentry"),
    ]
