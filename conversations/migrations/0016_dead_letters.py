from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_fewer_indexes"),
        ("channels_hub", "0005_sending_tenancy"),
        ("conversations", "0015_receipts_by_try"),
    ]

    operations = [
        migrations.CreateModel(
            name="DeadLetter",
            fields=[],
            options={
                "verbose_name": "dead letter",
                "verbose_name_plural": "dead letters",
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("conversations.delivery",),
        ),
        # The wall's question is answered by the wider one.
        migrations.RemoveIndex(model_name="delivery", name="failed_lately"),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("status__in", ("failed", "expired", "unknown"))),
                fields=["organization", "settled_at", "id"],
                name="dead_letters",
            ),
        ),
    ]
