from django.db import migrations

from accounts.tenancy import KeepInsideTenant


class Migration(migrations.Migration):
    dependencies = [
        ("channels_hub", "0001_initial"),
        ("accounts", "0002_tenancy"),
    ]

    operations = [
        KeepInsideTenant("channelaccount", "inboundevent", "mediafile", "simphone", "simmessage"),
    ]
