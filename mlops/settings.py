"""All settings. Every value that an installation may change comes from the environment.

Two profiles: `local` (what `make up` runs: loopback, plain http, still authenticated)
and `production` (refuses to start without ALLOWED_HOSTS and TLS in front).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from mlops import browser_admin, env
from mlops.db.embedded import Embedded

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(env.text("VAR", str(BASE_DIR / "var"))).resolve()
PORT = env.number("PORT", 8000)

PROFILE = env.text("PROFILE", "local")
if PROFILE not in {"local", "production"}:
    raise ImproperlyConfigured(f"PROFILE={PROFILE!r}; use local or production.")
PRODUCTION = PROFILE == "production"
DEBUG = env.flag("DEBUG")
TOOLBAR = DEBUG and env.flag("DEBUG_TOOLBAR")

SECRET_KEY = env.secret("SECRET_KEY", kept_in=VAR / "secrets" / "secret_key")
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "" if PRODUCTION else "127.0.0.1,localhost")
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("PROFILE=production needs ALLOWED_HOSTS.")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
# Addresses or networks of the reverse proxies that X-Forwarded-* is believed from.
TRUSTED_PROXIES = env.words("TRUSTED_PROXIES")
BASE_URL = env.text("BASE_URL", f"http://127.0.0.1:{PORT}").rstrip("/")

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "tenants.apps.PlatformAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "procrastinate.contrib.django",
    # Before our apps, which take its pages out of the admin.
    "allauth",
    "tenants.accounts.apps.SignInConfig",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "allauth.usersessions",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "mlops",
    "tenants",
    "registry",
    "monitoring",
    "audit",
]

MIDDLEWARE = [
    "mlops.telemetry.TelemetryMiddleware",
    "mlops.envelope.EnvelopeMiddleware",
    "mlops.policy.BrowserPolicy",
    "mlops.proxies.HostCheck",
    "mlops.second_lock.SecondLockMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "mlops.browsers.Sessions",
    "django.middleware.common.CommonMiddleware",
    "mlops.browsers.Csrf",
    "mlops.browsers.SignedIn",
    "mlops.browsers.Accounts",
    "mlops.browsers.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tenants.middleware.TenantMiddleware",
]

ROOT_URLCONF = "mlops.urls"
WSGI_APPLICATION = "mlops.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "mlops" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


# Database: one PostgreSQL, three roles. Without DATABASE_URL it is the embedded one.


# How long a database that is gone without a word is waited for, where it is remote.
PATIENCE = {"connect_timeout": "2", "tcp_user_timeout": "10000"}


def database(url: str, **extra: Any) -> dict[str, Any]:
    """Read postgresql://role:password@host:port/name?option=… into Django's form."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "mlops.db.backend",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": options.pop("port", str(parts.port or "")),
        "CONN_MAX_AGE": 0,
        # The pool looks at a connection before it lends it, so that a restart of
        # PostgreSQL costs no request an answer afterwards.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**PATIENCE, **options, **extra},
    }


if env.text("DATABASE_URL"):
    DATABASE_URL = env.text("DATABASE_URL")
    OWNER_DATABASE_URL = env.text("OWNER_DATABASE_URL", DATABASE_URL)
    ADMIN_DATABASE_URL = env.text("ADMIN_DATABASE_URL", OWNER_DATABASE_URL)
else:
    _embedded = Embedded(VAR)
    DATABASE_URL = _embedded.url("app_rw")
    OWNER_DATABASE_URL = _embedded.url("app_owner")
    ADMIN_DATABASE_URL = _embedded.url("app_maint")

POOL = {"min_size": 1, "max_size": env.number("DB_POOL_SIZE", 8), "timeout": 2}
DATABASES = {
    # Serves requests; owns nothing, so row-level security binds it.
    "default": database(DATABASE_URL, pool=POOL, application_name="mlops/web"),
    # Migrates; owns the tables.
    "owner": database(OWNER_DATABASE_URL, application_name="mlops/owner"),
    # Commands, workers and superusers in the admin, across organizations.
    "admin": database(
        ADMIN_DATABASE_URL,
        pool={**POOL, "min_size": 0},
        application_name="mlops/admin",
    ),
}
# Where work goes that row-level security must not bind: see tenants/unscoped.py.
ADMIN_ALIAS = "admin"
DATABASE_ROUTERS = ["tenants.routers.RoleRouter"]
# Who was erased, for a backup that is restored later; keep it apart from backups.
ERASURES_FILE = env.text("ERASURES_FILE", str(VAR / "audit" / "erasures.jsonl"))
# What the audit trail keeps of a caller's address: its network (prefix), or full.
AUDIT_ADDRESSES = env.text("AUDIT_ADDRESSES", "prefix")
# What seals the trail: its key (also AUDIT_SIGNING_KEY, or AUDIT_SIGNING_KEY_FILE), and
# the public halves of all keys whose seals are believed (also AUDIT_PUBLIC_KEYS).
AUDIT_KEY_FILE = VAR / "secrets" / "audit_signing_key"
AUDIT_PUBLIC_KEYS_FILE = VAR / "secrets" / "audit_public_keys"
AUDIT_PUBLIC_KEYS = env.words("AUDIT_PUBLIC_KEYS")
# By how much clocks may differ before an entry looks back-dated.
AUDIT_CLOCK_SECONDS = env.number("AUDIT_CLOCK_SECONDS", 5)
# Where the heads of its chains are told to, every hour: file:/path, s3://bucket/prefix,
# syslog:udp://host:port or syslog:/dev/log. Objects in a bucket may be locked.
AUDIT_ANCHORS = env.words("AUDIT_ANCHORS", f"file:{VAR / 'audit' / 'anchors.jsonl'}")
AUDIT_ANCHOR_LOCK_DAYS = env.number("AUDIT_ANCHOR_LOCK_DAYS", 0)
AUDIT_ANCHOR_S3 = {
    "endpoint_url": env.text("S3_ENDPOINT_URL") or None,
    "region_name": env.text("S3_REGION") or None,
}
# For how many months the audit trail is kept at hand; what is older goes to
# AUDIT_ARCHIVE. No law that asks for a trail is content with less than 6 months.
AUDIT_KEEP_MONTHS = env.number("AUDIT_KEEP_MONTHS", 14)
if AUDIT_KEEP_MONTHS < 6:
    raise ImproperlyConfigured(
        f"AUDIT_KEEP_MONTHS={AUDIT_KEEP_MONTHS}: keep 6 months at least."
    )
SILENCED_SYSTEM_CHECKS = [
    "models.E034",  # names of the eight indexes exceed Oracle's limit, not PostgreSQL's
    "security.W003",  # knows Django's own CSRF middleware only, not mlops.browsers.Csrf
    "security.W021",  # preloading HSTS binds a whole domain for years: opt-in
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "tenants.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
_VALIDATION = "django.contrib.auth.password_validation."
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": _VALIDATION + "UserAttributeSimilarityValidator"},
    {"NAME": _VALIDATION + "MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": _VALIDATION + "CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["tenants.accounts.backends.PasswordBackend"]
# Of the first admin; without it a random one is made.
ADMIN_PASSWORD = env.given("ADMIN_PASSWORD")
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/admin/"

# Sign-in by django-allauth (tenants.accounts), which counts nothing by itself: its
# limits live in a cache per process, ours in the database (tenants.accounts.lockout).
ACCOUNT_ADAPTER = "tenants.accounts.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_RATE_LIMITS = MFA_RATE_LIMITS = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
MFA_ADAPTER = "tenants.accounts.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
_FORMS = "tenants.accounts.forms."
ACCOUNT_FORMS = {
    "login": _FORMS + "SignInForm",
    "change_password": _FORMS + "PasswordForm",
}
MFA_FORMS = {
    "authenticate": _FORMS + "SecondFactorForm",
    "reauthenticate": _FORMS + "SecondFactorAgainForm",
}
# Clocks of telephones differ: a code is good half a minute longer on either side.
MFA_TOTP_TOLERANCE = 1
# Browsers offer security keys over http on localhost only.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
# Nobody signs up here, so an address that was not confirmed shuts nobody out.
MFA_ALLOW_UNVERIFIED_EMAIL = True
# Whoever enters the admin needs a second factor; who has none is led to set one up.
REQUIRE_MFA = env.flag("REQUIRE_MFA", PRODUCTION)

# OpenID Connect: one provider for the installation, which only its operator can name.
OIDC_ISSUER = env.text("OIDC_ISSUER")
OIDC_NAME = env.text("OIDC_NAME", "single sign-on")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.secret("OIDC_CLIENT_SECRET") if OIDC_ISSUER else ""
OIDC_SCOPES = env.words("OIDC_SCOPES", "openid,profile,email")
OIDC_GROUPS_CLAIM = env.text("OIDC_GROUPS_CLAIM", "groups")
# Where the provider may be besides public addresses, such as 10.1.0.0/16.
OIDC_NETWORKS = env.networks(
    "OIDC_NETWORKS", "" if PRODUCTION else "127.0.0.0/8,::1/128"
)
SOCIALACCOUNT_ADAPTER = "tenants.accounts.single_sign_on.SingleSignOnAdapter"
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {"provider_class": "tenants.accounts.openid.IdentityProvider"}
}
SOCIALACCOUNT_STORE_TOKENS = SOCIALACCOUNT_EMAIL_AUTHENTICATION = False

# Mail: by SMTP where EMAIL_HOST says so, else into files below VAR.
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.number("EMAIL_PORT", 587)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.secret("EMAIL_HOST_PASSWORD") if EMAIL_HOST_USER else ""
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", True)
EMAIL_TIMEOUT = 10
EMAIL_BACKEND = "mlops.mail.MailFolder"
if EMAIL_HOST:
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_FILE_PATH = str(VAR / "mail")
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "mlops@localhost")

# Browser. A session ends so long after its start, and so long after its last sign.
SESSION_COOKIE_AGE = env.number("SESSION_SECONDS", 12 * 3600)
SESSION_IDLE_SECONDS = env.number("SESSION_IDLE_SECONDS", 2 * 3600)
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# Static files are for our own pages; whitenoise would offer them to every origin.
WHITENOISE_ALLOW_ALL_ORIGINS = False
if PRODUCTION:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", True)
    SECURE_HSTS_SECONDS = env.number("SECURE_HSTS_SECONDS", 3600)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("SECURE_HSTS_INCLUDE_SUBDOMAINS", True)
    SECURE_HSTS_PRELOAD = env.flag("SECURE_HSTS_PRELOAD")
    # mlops.proxies takes the header away from whoever is no such proxy.
    if TRUSTED_PROXIES:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# What each web process works on at once; the rest waits a little or is told 429
# (mlops/overload.py).
OVERLOAD = {
    "slots": env.number("WEB_THREADS", 4),
    "line": env.number("WEB_LINE", 32),
    "patience_ms": env.number("WEB_PATIENCE_MS", 500),
    "transfers": env.number("WEB_TRANSFERS", 64),
    "body_bytes": env.number("WEB_BODY_BYTES", 64 * 1024**2),
}
# Paths whose bodies and answers are of any size, and what is said there, and elsewhere,
# to those who are refused before Django.
TRANSFERS = (
    r"/mlflow-artifacts/(artifacts|mpu/parts|mpu/complete)/"
    r"|/get-artifact$|/upload-artifact$"
    r"|/packages/[^/]+/[^/]+/.|/packages/[^/]+/archive/$"
    r"|/audit-logs/export/$"
)
EARLY_REFUSAL = "registry.mlflow.early.refuse_early"

# Bodies are read by our own parsers with a cap per route; uploads stream.
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024

# Files
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(VAR / "static")))
STATICFILES_DIRS = [BASE_DIR / "mlops" / "static"]
MEDIA_ROOT = Path(env.text("BLOB_ROOT", str(VAR / "blobs")))


def blob_store(address: str) -> dict[str, Any]:
    """Read BLOB_STORE: "s3://bucket/prefix", or nothing for the folder BLOB_ROOT.

    Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from wherever else
    boto3 looks for them, such as the role of the machine.
    """
    parts = urlsplit(address)
    if not address:
        options: dict[str, Any] = {"location": str(MEDIA_ROOT)}
        return {"BACKEND": "registry.storage.BlobFolder", "OPTIONS": options}
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ImproperlyConfigured(
            f"BLOB_STORE={address!r}; use s3://bucket/prefix, or leave it empty."
        )
    options = {
        "bucket_name": parts.netloc,
        "location": parts.path.strip("/"),
        "endpoint_url": env.text("S3_ENDPOINT_URL") or None,
        "public_endpoint_url": env.text("S3_PUBLIC_ENDPOINT_URL"),
        "region_name": env.text("S3_REGION") or None,
        "presigns": env.flag("S3_SIGNED_URLS", True),
        "drafts": str(VAR / "drafts"),
    }
    return {"BACKEND": "registry.storage.bucket.BlobBucket", "OPTIONS": options}


def archive_store(address: str) -> dict[str, Any]:
    """Read AUDIT_ARCHIVE: a folder, or "s3://bucket/prefix"; nothing is overwritten."""
    parts = urlsplit(address)
    if not parts.scheme:
        options: dict[str, Any] = {
            "location": address,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        }
        backend = "django.core.files.storage.FileSystemStorage"
        return {"BACKEND": backend, "OPTIONS": options}
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ImproperlyConfigured(
            f"AUDIT_ARCHIVE={address!r}; use a folder or s3://bucket/prefix."
        )
    options = {
        "bucket_name": parts.netloc,
        "location": parts.path.strip("/"),
        "endpoint_url": env.text("S3_ENDPOINT_URL") or None,
        "region_name": env.text("S3_REGION") or None,
        "file_overwrite": False,
        # What is read again is larger than what a process should hold.
        "max_memory_size": 16 * 1024**2,
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "blobs": blob_store(env.text("BLOB_STORE")),
    "audit_archive": archive_store(
        env.text("AUDIT_ARCHIVE", str(VAR / "audit" / "archive"))
    ),
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage",
    },
}
MAX_ARTIFACT_BYTES = env.number("MAX_ARTIFACT_BYTES", 5 * 1024**3)
# Where else experiments may keep artifacts: "acme=s3://bucket/acme", or "*=" for all.
ARTIFACT_LOCATIONS = env.words("ARTIFACT_LOCATIONS")
# Uploads in parts: what one part may have, how many may be open in a project, and for
# how long the URLs are good that clients use without a token.
MAX_PART_BYTES = env.number("MAX_PART_BYTES", 512 * 1024**2)
MAX_OPEN_UPLOADS = env.number("MAX_OPEN_UPLOADS", 1000)
SIGNED_URL_SECONDS = min(env.number("SIGNED_URL_SECONDS", 900), 900)
# What packages may hold where neither project nor organization has a limit of its own;
# 0 is no limit.
STORAGE_LIMITS = {
    "organization_bytes": env.number("ORGANIZATION_STORAGE_BYTES", 0),
    "organization_files": env.number("ORGANIZATION_STORAGE_FILES", 0),
    "project_bytes": env.number("PROJECT_STORAGE_BYTES", 0),
    "project_files": env.number("PROJECT_STORAGE_FILES", 0),
}
# Seconds between two writes of when packages were last downloaded; 0 writes nothing.
DOWNLOAD_NOTE_SECONDS = env.number("DOWNLOAD_NOTE_SECONDS", 60)

# How many of them one run, experiment, model, version or project may have: far more
# than anybody needs, and too few for a loop that went wrong to fill the database.
OBJECT_LIMITS = {
    name: env.number(f"LIMIT_{name.upper()}", most)
    for name, most in {
        "run_params": 10_000,
        "run_tags": 10_000,
        "run_inputs": 1_000,
        "run_models": 10_000,
        "logged_model_params": 10_000,
        "logged_model_tags": 1_000,
        "evaluation_dataset_tags": 1_000,
        "evaluation_dataset_records": 100_000,
        "evaluation_dataset_experiments": 1_000,
        "experiment_tags": 1_000,
        "model_tags": 1_000,
        "model_aliases": 1_000,
        "version_tags": 1_000,
        "project_experiments": 10_000,
        "project_models": 10_000,
        "project_evaluation_datasets": 10_000,
        "model_versions": 100_000,
    }.items()
}

# REST
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.AdmittedActor"],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.permissions.Admitted"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "mlops.api.pagination.KeysetPagination",
    "DEFAULT_PARSER_CLASSES": ["mlops.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "mlops.api.exceptions.answer",
    "DEFAULT_VERSIONING_CLASS": None,
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "MLOps platform",
    "DESCRIPTION": "Organizations, projects, experiments, models, monitoring, audit.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "registry.api.openapi.expansions_are_optional",
        "registry.api.openapi.streams_are_described",
        "audit.api.openapi.exports_are_described",
    ],
    # Several models have a status or a role; each keeps a name of its own.
    "ENUM_NAME_OVERRIDES": {
        "OrganizationRole": "tenants.models.OrganizationRole",
        "ProjectRole": "tenants.models.ProjectRole",
        "Feature": "tenants.models.Feature",
        "RunStatus": "registry.models.RunStatus",
        "VersionStatus": "registry.models.VersionStatus",
        "PackageRole": "registry.models.PackageRole",
        "PackageStatus": "registry.models.PackageStatus",
        "PackageType": "registry.models.PackageType",
        "DeploymentStatus": "registry.models.DeploymentStatus",
        "ReportStatus": "monitoring.models.ReportStatus",
        "AlertStatus": "monitoring.models.AlertStatus",
        "InvitationState": "tenants.models.InvitationState",
        "GrantState": "tenants.models.GrantState",
    },
}

# Jobs run on PostgreSQL. The worker sets the alias to admin: it may act for any tenant.
PROCRASTINATE_DATABASE_ALIAS = env.text("PROCRASTINATE_DATABASE_ALIAS", "default")
PROCRASTINATE_AUTODISCOVER_MODULE_NAME = "jobs"
PROCRASTINATE_IMPORT_PATHS = ["mlops.upkeep"]

# Development only: counts tell a caller what exists, so production refuses it.
QUERY_HEADER = env.flag("MLOPS_QUERY_HEADER")

# How often, over all processes together: "5/15min", or "50/s:200" where more than 50
# may come at once.
THROTTLES = {
    "token": env.rate("THROTTLE_TOKEN", "50/s:200"),
    "organization": env.rate("THROTTLE_ORGANIZATION", "5000/s:10000"),
    "failed_authentication": env.rate("THROTTLE_FAILED_AUTHENTICATION", "20/min"),
    "reused_token": env.rate("THROTTLE_REUSED_TOKEN", "1/min"),
    "token_leak": env.rate("THROTTLE_TOKEN_LEAK", "10/min"),
    "csp_report": env.rate("THROTTLE_CSP_REPORT", "60/min"),
    "sign_in": env.rate("THROTTLE_SIGN_IN", "5/15min"),
    "sign_in_address": env.rate("THROTTLE_SIGN_IN_ADDRESS", "50/h"),
    "second_factor": env.rate("THROTTLE_SECOND_FACTOR", "10/15min"),
    "account_form": env.rate("THROTTLE_ACCOUNT_FORM", "60/min"),
    "account_mail": env.rate("THROTTLE_ACCOUNT_MAIL", "10/h"),
    # Entries of the trail about one damaged blob.
    "damaged_blob": env.Rate(1 / 60, 1),
    # A code of an authenticator app is good once; it lives a minute at most.
    "used_code": env.Rate(1 / 120, 1),
}
# Seconds between two writes of when tokens were last used; 0 writes nothing.
TOKEN_USE_SECONDS = env.number("TOKEN_USE_SECONDS", 60)

# Serve although row-level security does not bind the role of DATABASE_URL.
ALLOW_PRIVILEGED_DB = env.flag("ALLOW_PRIVILEGED_DB")

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["mlops.formats"]

# Masks tokens in whatever is logged.
LOGGING_CONFIG = "mlops.redaction.configure"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain"},
    },
    # A line per 4xx would let whoever is refused fill the log; 5xx are worth theirs.
    "loggers": {
        "django.request": {"level": "ERROR"},
        # mlops.db.pool says once that the database is gone, this one at each attempt.
        "psycopg.pool": {"level": "ERROR"},
    },
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "WARNING")},
}

UNFOLD = browser_admin.UNFOLD
# What each app shows on the first page of the browser admin.
ADMIN_OVERVIEW = [
    "tenants.admin.overview",
    "registry.admin.overview",
    "monitoring.admin.overview",
    "audit.admin.overview",
]

if TOOLBAR:
    INSTALLED_APPS.append("debug_toolbar")
    MIDDLEWARE.insert(1, "debug_toolbar.middleware.DebugToolbarMiddleware")
    INTERNAL_IPS = ["127.0.0.1"]
