"""Authentication and REST."""

from .environment import PORTAL_ENV, env

# --- Authentication ---------------------------------------------------------------------------------------

AUTH_USER_MODEL = "tenants.User"
# The first one is that of local passwords.
AUTHENTICATION_BACKENDS = ["api.login_backend.PasswordBackend", "signin.backends.ProviderBackend"]
PASSWORD_HASHERS = [f"api.password_hashers.Limited{name}PasswordHasher" for name in ("Argon2", "PBKDF2")]
if PORTAL_ENV == "test":
    # Argon2 is slow by design; tests log in thousands of times.
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Per web process; a hash takes 100 MB. Further requests wait a little and then get 503.
PASSWORD_HASHES_AT_ONCE = max(1, env.int("PASSWORD_HASHES_AT_ONCE", default=2))
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"

# Limits of wrong passwords (api/login_throttle.py): for a name from one network and for a name from all networks, both
# reset after the cool-off, and for all names from one network.
LOGIN_FAILURE_LIMIT = max(1, env.int("LOGIN_FAILURE_LIMIT", default=10))
LOGIN_NAME_LIMIT = max(1, env.int("LOGIN_NAME_LIMIT", default=30))
LOGIN_COOLOFF_HOURS = env.float("LOGIN_COOLOFF_HOURS", default=0.25)
LOGIN_NETWORK_RATE = env.str("RATE_LOGIN", default="30/min")
# The number of our own proxies in front of the portal, and of the trusted entries of X-Forwarded-For.
TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)

REST_KNOX = {
    "TOKEN_MODEL": "portal_api.ApiToken",
    "AUTH_HEADER_PREFIX": "Token",
    "TOKEN_TTL": None,
    "AUTO_REFRESH": False,
}
KNOX_TOKEN_MODEL = REST_KNOX["TOKEN_MODEL"]
# Knox's own migrations would create its table, which our model replaces.
MIGRATION_MODULES = {"knox": None}
API_TOKEN_DAYS = env.int("API_TOKEN_DAYS", default=90)
# The longest life of a service account's token.
SERVICE_TOKEN_DAYS_AT_MOST = env.int("SERVICE_TOKEN_DAYS_AT_MOST", default=366)
# Open invitations of a tenant, and the days that one is valid.
INVITATIONS_PER_TENANT = env.int("INVITATIONS_PER_TENANT", default=50)
INVITATION_DAYS = env.int("INVITATION_DAYS", default=7)

# --- REST --------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.authentication.TokenAuthentication",
        "api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["api.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "api.pagination.PagePagination",
    "DEFAULT_FILTER_BACKENDS": [
        f"api.filtering.{name}" for name in ("FiltersBackend", "SearchBackend", "OrderingBackend")
    ],
    "DEFAULT_THROTTLE_CLASSES": ["api.throttling.ActionClassThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "read": env.str("RATE_READ", default="6000/min"),
        "change": env.str("RATE_CHANGE", default="1200/min"),
    },
    "DEFAULT_SCHEMA_CLASS": "api.schema.PortalSchema",
    "EXCEPTION_HANDLER": "api.errors.problem_response",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # No body of ours comes near one megabyte.
FILE_UPLOAD_HANDLERS = ["api.request_limits.RefusingUploadHandler"]
# Error messages repeat the entered values; see api/error_limits.py.
FORM_RENDERER = "api.error_limits.LimitedFormRenderer"

SPECTACULAR_SETTINGS = {
    "TITLE": "Portal API",
    "DESCRIPTION": "Tenants, information systems, virtual machines and the jobs that change them.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # No validator: it would send our document's address to a third party.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "JobStatusEnum": "tasks.models.JobStatus",
        "StepStatusEnum": "tasks.models.StepStatus",
        "VMStatusEnum": "vms.models.VMStatus",
        "DesiredStateEnum": "vms.models.virtual_machine.VirtualMachine.DesiredState",
        "TypeEnum": "vms.serializers.adoption.ADOPTED_TYPES",
        "ApproverRoleEnum": "approvals.models.ApproverRole",
        "ResourceStateEnum": "cloudaccounts.models.ResourceState",
        "StateEnum": "cloudaccounts.models.sync_logs.SyncLog.State",
        "ApprovalRequestStatusEnum": "approvals.models.RequestStatus",
        "ApprovalDecisionKindEnum": "approvals.models.ApprovalDecision.Kind",
        "ActorTypeEnum": "events.models.Event.ActorType",
        "RoleEnum": "tenants.scoping.Role",
        "CatalogueKindEnum": "cloudaccounts.models.catalogue_grants.CatalogueKind",
        "ActionEnum": "deploys.models.deployments.Deployment.Action",
        "NetworkRowStatusEnum": "networks.models.cloud_rows.RowStatus",
        "MigrationKindEnum": "vms.serializers.recovery.MIGRATION_KINDS",
        "PasswordActionEnum": "vms.serializers.logins.PASSWORD_ACTIONS",
        "VerificationEnum": "cloudaccounts.models.accounts.CloudAccount.Verification",
    },
}
