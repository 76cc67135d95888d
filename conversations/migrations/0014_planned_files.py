import accounts.ids
import django.db.models.deletion
from django.db import migrations, models

from accounts.tenancy import KeepInsideTenant


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_fewer_indexes'),
        ('channels_hub', '0005_sending_tenancy'),
        ('conversations', '0013_twilio'),
    ]

    operations = [
        migrations.CreateModel(
            name='LaterFile',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('later', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='files', to='conversations.later')),
                ('media', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='channels_hub.mediafile')),
                ('organization', models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'ordering': ['position'],
            },
        ),
        KeepInsideTenant("laterfile"),
    ]
