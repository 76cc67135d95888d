from django.db import migrations

from accounts.tenancy import KeepInsideTenant


class Migration(migrations.Migration):
    dependencies = [("conversations", "0010_sending"), ("channels_hub", "0005_sending_tenancy")]

    operations = [
        KeepInsideTenant(
            "pace", "attempt", "receipt", "later", "webhookendpoint", "webhookmessage", "webhookattempt"
        ),
    ]
