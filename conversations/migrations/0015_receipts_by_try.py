from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("conversations", "0014_planned_files")]

    operations = [
        migrations.AddField(
            model_name="receipt",
            name="provider_id",
            field=models.CharField(blank=True, default="", max_length=255),
        ),
    ]
