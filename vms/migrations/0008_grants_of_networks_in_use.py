from django.db import migrations

# By the ports of the servers, and by the names that Nova reports where ports are not synced. Default networks are left out:
# every administrator of a tenant could enter any network there.
GRANT_NETWORKS_IN_USE = """
INSERT INTO cloudaccounts_cataloguegrant
    (account_id, tenant_id, kind, cloud_id, match, name_pattern, tag, note, by_upgrade, created_at)
SELECT DISTINCT account.id, used.tenant_id, 'network', network.cloud_id, '', '', '', '', TRUE, now()
FROM cloudaccounts_cloudaccount account
JOIN cloudaccounts_cloudresource network ON network.account_id = account.id AND network.type = 'network'
    AND COALESCE(network.attributes -> 'is_external', 'false') <> 'true'
JOIN (
    SELECT system.tenant_id, vm.account_id, vm.region, to_network.target_cloud_id AS cloud_id, NULL AS name
    FROM vms_virtualmachine vm
    JOIN tenants_informationsystem system ON system.id = vm.information_system_id
    JOIN cloudaccounts_resourcelink to_server ON to_server.kind = 'port-server'
        AND to_server.account_id = vm.account_id AND to_server.region = vm.region
        AND to_server.target_type = 'server' AND to_server.target_cloud_id = vm.openstack_id
    JOIN cloudaccounts_resourcelink to_network ON to_network.source_id = to_server.source_id
        AND to_network.kind = 'port-network'
    UNION
    SELECT system.tenant_id, vm.account_id, vm.region, NULL, address ->> 'network'
    FROM vms_virtualmachine vm
    JOIN tenants_informationsystem system ON system.id = vm.information_system_id
    CROSS JOIN jsonb_array_elements(
        CASE jsonb_typeof(vm.addresses) WHEN 'array' THEN vm.addresses ELSE '[]' END
    ) address
    WHERE vm.status <> 'removed'
) used ON used.account_id = account.id AND used.region = network.region
    AND (used.cloud_id = network.cloud_id OR used.name = network.name)
WHERE account.tenant_id IS NULL
"""


class Migration(migrations.Migration):
    """Each tenant is granted the networks of shared accounts that its VMs use today, and no others."""

    dependencies = [
        ("cloudaccounts", "0012_catalogue_grants"),
        ("tenants", "0007_theme"),
        ("vms", "0007_usage_samples"),
    ]

    operations = [migrations.RunSQL(GRANT_NETWORKS_IN_USE, migrations.RunSQL.noop)]
