"""The settings of the rooms: jobs, VMs, clouds, volume pools, deployments."""

from django.core.exceptions import ImproperlyConfigured

from security.addresses import parse_networks

from .environment import PORTAL_ENV, PRODUCTION, env

# --- The task manager --------------------------------------------------------------------------------------

# Seconds that a worker owns a job without renewing its lease. See tasks/leases.py.
JOB_LEASE_SECONDS = env.float("JOB_LEASE_SECONDS", default=20.0)
# Attempts of one step that may end without a record (a killed worker each time) before a person has to decide.
# At least two: a job that a person resumes counts its first attempt as made.
JOB_ATTEMPT_CAP = max(2, env.int("JOB_ATTEMPT_CAP", default=10))
JOB_SWEEP_SECONDS = env.int("JOB_SWEEP_SECONDS", default=5)
JOB_RETENTION_DAYS = env.int("JOB_RETENTION_DAYS", default=90)
# Days that decided requests are kept. Their events stay as long as all events.
APPROVAL_RETENTION_DAYS = env.int("APPROVAL_RETENTION_DAYS", default=400)
# Days that events and with them the audit log are kept.
EVENT_RETENTION_DAYS = env.int("EVENT_RETENTION_DAYS", default=400)
# The share of a worker's processes that one tenant's jobs may hold at a time, by queue ("" for queues without an entry):
# at least one process, and all of them with 1. Further jobs wait, which leaves processes to other tenants.
TENANT_WORKER_SHARES = env.json("TENANT_WORKER_SHARES", default={"jobs": 0.75, "": 0.5})
# A request that waits for a job or follows one live holds a web thread: this many of WEB_THREADS may be held so.
WAITING_REQUESTS_AT_MOST = env.int("WAITING_REQUESTS_AT_MOST", default=8)
JOB_EVENTS_SECONDS = env.float("JOB_EVENTS_SECONDS", default=60.0)

# Rows of each kind that a tenant may have, in addition to its quotas; null is unlimited. One more is refused with the figures.
TENANT_ROWS_AT_MOST = {
    "information_systems": 500,
    "cloud_accounts": 50,
    "hosts": 5000,
    "services": 1000,
    # Per service.
    "versions": 2000,
    "instances": 10_000,
    "vm_snapshots": 2000,
    "volume_snapshots": 5000,
    # Of a tenant, and of a person.
    "ssh_keys": 200,
    "user_data_templates": 200,
    "security_groups": 500,
    "floating_ips": 500,
    "server_groups": 500,
    "webhooks": 50,
    "subscriptions": 2000,
    "approval_policies": 100,
    "approval_delegations": 500,
    # Those that wait for approval.
    "approval_requests": 1000,
    "service_accounts": 200,
    **env.json("TENANT_ROWS_AT_MOST", default={}),
}

# --- Virtual machines --------------------------------------------------------------------------------------

VM_STATUS_SYNC_SECONDS = env.int("VM_STATUS_SYNC_SECONDS", default=300)
# Interval of the status sync of volumes and volume snapshots.
VOLUME_STATUS_SYNC_SECONDS = env.int("VOLUME_STATUS_SYNC_SECONDS", default=300)
# The share of an account's VMs that may be missing from one listing; with more, the sync holds the deletions back.
VM_SYNC_MASS_LOSS_SHARE = env.float("VM_SYNC_MASS_LOSS_SHARE", default=1 / 3)
# Interval of full listings, which alone show missing servers. The syncs between them list changes only.
VM_FULL_SYNC_SECONDS = env.int("VM_FULL_SYNC_SECONDS", default=3600)
# Interval of the sync of accounts that have a VM in a transitional state.
VM_MOVING_SYNC_SECONDS = env.int("VM_MOVING_SYNC_SECONDS", default=20)
# Days that entries of the operation log are kept; 0: for ever.
OPERATION_LOG_RETENTION_DAYS = env.int("OPERATION_LOG_RETENTION_DAYS", default=0)
SYNC_RUN_RETENTION_DAYS = env.int("SYNC_RUN_RETENTION_DAYS", default=14)
RESIZE_CONFIRM_HOURS = env.float("RESIZE_CONFIRM_HOURS", default=24)
RUNTIME_WARN_DAYS = env.int("RUNTIME_WARN_DAYS", default=3)
# Days that a deleted VM or volume stays in the bin, from which it can be restored; with 0 it is deleted at once. At most a
# year, because everything in the bin counts against quotas and costs money in the cloud.
BIN_DAYS = env.int("BIN_DAYS", default=0 if PORTAL_ENV == "test" else 7)
if not 0 <= BIN_DAYS <= 365:
    raise ImproperlyConfigured(f"BIN_DAYS is {BIN_DAYS}; it must be a number of days from 0 (no bin) to 365.")
# Seconds that a console URL is shown to the user who opened the console; Nova's own limit is ten minutes.
CONSOLE_URL_SECONDS = env.int("CONSOLE_URL_SECONDS", default=600)
ORPHAN_SWEEP_SECONDS = env.int("ORPHAN_SWEEP_SECONDS", default=600)
# Whether orphans (servers, volumes, ports, security groups, floating IPs and server groups that the portal created and has no
# record of) are deleted, not only reported.
ORPHANS_REMOVE = env.bool("ORPHANS_REMOVE", default=False)

# --- Addresses that clouds and hosts may have (security/policies.py) ---------------------------------------

# Refused whatever else is allowed, in addition to the metadata services of the big clouds: addresses and networks,
# separated by commas.
DENIED_ADDRESSES = env.list("DENIED_ADDRESSES", default=[])
# Exceptions from every refusal, except that of the portal's own database and broker.
ALLOWED_ADDRESSES = env.list("ALLOWED_ADDRESSES", default=[])
# Switch it off where every cloud and host is on the public internet.
ALLOW_PRIVATE_ADDRESSES = env.bool("ALLOW_PRIVATE_ADDRESSES", default=True)
for _name, _networks in (("DENIED_ADDRESSES", DENIED_ADDRESSES), ("ALLOWED_ADDRESSES", ALLOWED_ADDRESSES)):
    try:
        parse_networks(_networks)
    except ValueError as _error:
        raise ImproperlyConfigured(f"{_name} holds no address or network: {_error}.") from None

# --- Clouds ------------------------------------------------------------------------------------------------

OS_CLOUD = env.str("OS_CLOUD", default="")
# A proxy for all requests to clouds, such as http://proxy.example.org:3128. It resolves the clouds' names, so it must
# refuse internal addresses itself. HTTPS_PROXY and similar variables have no effect.
CLOUD_PROXY = env.str("CLOUD_PROXY", default="")
# Clouds at the portal's own machine and link are refused unless this allows them.
ALLOW_LOCAL_CLOUDS = env.bool("ALLOW_LOCAL_CLOUDS", default=not PRODUCTION)
# A larger difference between a cloud's clock and the portal's is reported on its account, its syncs and in the metrics.
CLOUD_CLOCK_WARN_SECONDS = env.float("CLOUD_CLOCK_WARN_SECONDS", default=30.0)
# When more than this share of a resource type disappears at once, a person has to confirm the deletions.
RESOURCE_MASS_LOSS_SHARE = env.float("RESOURCE_MASS_LOSS_SHARE", default=0.5)
SYNC_LOG_RETENTION_DAYS = env.int("SYNC_LOG_RETENTION_DAYS", default=30)
# Days that changes of resources, and expired resources, are kept.
RESOURCE_RETENTION_DAYS = env.int("RESOURCE_RETENTION_DAYS", default=90)
# The tag of everything that the portal creates. Two portals on one project need two tags.
CLOUD_TAG = env.str("CLOUD_TAG", default="portal")
POOL_BACKFILL_SECONDS = env.int("POOL_BACKFILL_SECONDS", default=30)
POOL_RECONCILE_SECONDS = env.int("POOL_RECONCILE_SECONDS", default=300)
POOL_IN_FLIGHT_PER_ACCOUNT = env.int("POOL_IN_FLIGHT_PER_ACCOUNT", default=10)
POOL_QUOTA_KEPT_PERCENT = env.int("POOL_QUOTA_KEPT_PERCENT", default=10)
VOLUME_POOLS = env.json("VOLUME_POOLS", default={})
POOL_HISTORY_DAYS = env.int("POOL_HISTORY_DAYS", default=90)

# --- Events ------------------------------------------------------------------------------------------------

# A syslog server to which all events are forwarded: tcp://host:601 or tls://host:6514. Empty: none.
AUDIT_SYSLOG_URL = env.str("AUDIT_SYSLOG_URL", default="")

# --- Notifications -----------------------------------------------------------------------------------------

# The address of the portal as people type it, such as https://portal.example.org: messages link to it. Empty: no links.
PORTAL_URL = env.str("PORTAL_URL", default="")
# Whether receivers of webhooks may be of this machine or of a link-local network.
ALLOW_LOCAL_RECEIVERS = env.bool("ALLOW_LOCAL_RECEIVERS", default=not PRODUCTION)
# Hosts of chats of one's own, by their vendor: {"ding.example.org": "dingtalk"}; also wecom, feishu, slack, teams.
CHAT_HOSTS = env.json("CHAT_HOSTS", default={})
# Days for which deliveries of webhooks are kept.
DELIVERY_RETENTION_DAYS = env.int("DELIVERY_RETENTION_DAYS", default=30)
# The mail server. Without a host, no mail is sent.
EMAIL_HOST = env.str("EMAIL_HOST", default="")
EMAIL_PORT = env.int("EMAIL_PORT", default=25)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=False)
EMAIL_USE_SSL = env.bool("EMAIL_USE_SSL", default=False)
EMAIL_TIMEOUT = env.float("EMAIL_TIMEOUT", default=10.0)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="portal@localhost")

# --- Deployments -------------------------------------------------------------------------------------------

# Whether hosts may be of this machine or of a link-local network.
ALLOW_LOCAL_HOSTS = env.bool("ALLOW_LOCAL_HOSTS", default=not PRODUCTION)
# Programs of the executor `command`, by name: {"name": ["/path/to/program", "argument"]}.
DEPLOY_PROGRAMS = env.json("DEPLOY_PROGRAMS", default={})
# Days that ended deployments are kept; 0: for ever. The last one of each service always stays.
DEPLOYMENT_RETENTION_DAYS = env.int("DEPLOYMENT_RETENTION_DAYS", default=0)
DEPLOY_SECONDS = env.float("DEPLOY_SECONDS", default=200)
