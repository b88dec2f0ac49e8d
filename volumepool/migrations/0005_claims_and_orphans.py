from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Model names before and after; both releases use the same tables.
RENAMED = {"poolclaim": "claim", "strayvolume": "orphanvolume"}


def rename_permissions(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Rename the permissions of the renamed models in place, so that users and groups keep what they were granted."""
    _rename(apps, RENAMED)


def restore_permissions(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give the permissions their former names."""
    _rename(apps, {new: old for old, new in RENAMED.items()})


def _rename(apps: Apps, names: dict[str, str]) -> None:
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="volumepool")
    for old, new in names.items():
        for action in ("add", "change", "delete", "view"):
            permissions.filter(codename=f"{action}_{old}").update(codename=f"{action}_{new}")


class Migration(migrations.Migration):
    """`PoolClaim` is `Claim`, `StrayVolume` is `OrphanVolume`. The tables keep their names: nothing changes in the database."""

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("volumepool", "0004_rows_follow_cinder"),
    ]

    operations = [
        migrations.AlterModelTable(name="poolclaim", table="volumepool_poolclaim"),
        migrations.RenameModel(old_name="PoolClaim", new_name="Claim"),
        migrations.AlterModelTable(name="strayvolume", table="volumepool_strayvolume"),
        migrations.RenameModel(old_name="StrayVolume", new_name="OrphanVolume"),
        migrations.AlterModelOptions(
            name="orphanvolume",
            options={
                "ordering": ["account", "region", "volume_id"],
                "verbose_name": "orphan volume",
                "verbose_name_plural": "orphan volumes",
            },
        ),
        migrations.RunPython(rename_permissions, restore_permissions),
    ]
