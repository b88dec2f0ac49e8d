from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("vms", "0015_rescue_and_hosts"),
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
                    ("attach_interface", "Attach interface"),
                    ("detach_interface", "Detach interface"),
                    ("security_groups", "Change security groups"),
                    ("attach_address", "Attach floating IP"),
                    ("detach_address", "Detach floating IP"),
                    ("snapshot", "Create snapshot"),
                    ("remove_snapshot", "Delete snapshot"),
                    ("console", "Open console"),
                    ("password", "Reset password"),
                    ("read_password", "Read password"),
                    ("clear_password", "Clear password"),
                    ("rescue", "Rescue"),
                    ("unrescue", "Exit rescue"),
                    ("rebuild", "Rebuild"),
                    ("live_migrate", "Live migrate"),
                    ("migrate", "Migrate"),
                    ("evacuate", "Evacuate"),
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
