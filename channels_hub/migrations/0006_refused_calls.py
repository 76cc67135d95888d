from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("channels_hub", "0005_sending_tenancy")]

    operations = [
        migrations.AddField(
            model_name="channelaccount",
            name="refused_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
