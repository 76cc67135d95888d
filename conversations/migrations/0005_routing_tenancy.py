from django.db import migrations

from accounts.tenancy import KeepInsideTenant, KeepLinkInsideTenant


class Migration(migrations.Migration):
    dependencies = [("conversations", "0004_routing"), ("queues", "0004_routing_tenancy")]

    operations = [
        KeepInsideTenant("offer", "stay"),
        KeepLinkInsideTenant("routingdecision", "queue"),
    ]
