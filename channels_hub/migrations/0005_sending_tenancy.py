from django.db import migrations

from accounts.tenancy import KeepInsideTenant, KeepLinkInsideTenant


class Migration(migrations.Migration):
    dependencies = [("channels_hub", "0004_sending"), ("accounts", "0003_fewer_indexes")]

    operations = [
        KeepInsideTenant("messagetemplate"),
        KeepLinkInsideTenant("mediafile", "uploader"),
    ]
