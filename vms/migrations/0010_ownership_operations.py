from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("vms", "0009_tags_protection_and_bin"),
    ]

    operations = [
        migrations.AlterField(
            model_name="vmoperationlog",
            name="operation",
            field=models.CharField(
                choices=[
                    ("create", "Create"),
                    ("start", "Start"),
                    ("stop", "Stop"),
                    ("restart", "Restart"),
                    ("pause", "Pause"),
                    ("unpause", "Unpause"),
                    ("suspend", "Suspend"),
                    ("resume", "Resume"),
                    ("shelve", "Shelve"),
                    ("unshelve", "Unshelve"),
                    ("resize", "Resize"),
                    ("confirm_resize", "Confirm resize"),
                    ("revert_resize", "Revert resize"),
                    ("change", "Edit"),
                    ("attach", "Attach volume"),
                    ("detach", "Detach volume"),
                    ("snapshot", "Create snapshot"),
                    ("remove_snapshot", "Delete snapshot"),
                    ("console", "Open console"),
                    ("remove", "Delete"),
                    ("bin", "Move to bin"),
                    ("restore", "Restore from bin"),
                    ("adopt", "Adopt"),
                    ("move", "Move"),
                    ("release", "Release"),
                    ("runtime", "Announce end date"),
                    ("sync", "Sync"),
                ],
                max_length=20,
                verbose_name="operation",
            ),
        ),
    ]
