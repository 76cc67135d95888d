from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """The drain of our own webhooks asks endpoint by endpoint what is due."""

    dependencies = [("conversations", "0011_sending_tenancy")]

    operations = [
        migrations.RemoveIndex(model_name="webhookmessage", name="webhooks_due"),
        migrations.AddIndex(
            model_name="webhookmessage",
            index=models.Index(
                fields=["endpoint", "next_at"], condition=Q(state="pending"), name="webhooks_due"
            ),
        ),
    ]
