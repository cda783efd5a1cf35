"""Django's settings, all of them derived from the environment (`environment.py` says what can be set)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import dj_database_url

from config import logs, redis
from config.settings.confidential import redaction_of
from config.settings.environment import read_environment
from config.settings.key import secret_key
from config.settings.theme import UNFOLD as UNFOLD

ENVIRONMENT = read_environment()
BASE_DIR = Path(__file__).resolve().parent.parent.parent
DEBUG = False
VERSION = "0.1.0"
"""Of the service and of its API, the same as in pyproject.toml."""
SECRET_KEY = secret_key(ENVIRONMENT)
SECRET_KEY_FALLBACKS = ENVIRONMENT.secret_key_fallbacks

# Who is answered -------------------------------------------------------------------------------------------------

_public = urlsplit(ENVIRONMENT.public_url)
ALLOWED_HOSTS = [*ENVIRONMENT.allowed_hosts, "localhost", "127.0.0.1", "[::1]"]
if ENVIRONMENT.host not in ("0.0.0.0", "::", "127.0.0.1"):  # noqa: S104 - compared, not bound
    ALLOWED_HOSTS.append(ENVIRONMENT.host)
if _public.hostname:
    ALLOWED_HOSTS.append(_public.hostname)
_https = _public.scheme == "https"
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"] if _public.netloc else []
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_SSL_REDIRECT = _https
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_ENGINE = "config.sessions"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
AXES_FAILURE_LIMIT = ENVIRONMENT.login_failures
AXES_COOLOFF_TIME = timedelta(minutes=ENVIRONMENT.login_lockout_minutes)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else one who keeps trying keeps the user out for ever
AXES_CLIENT_IP_CALLABLE = "config.login.client_address"
AXES_USERNAME_CALLABLE = "config.login.client_name"
AXES_CLIENT_STR_CALLABLE = "config.login.client_words"
AXES_LOCKOUT_CALLABLE = "config.login.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
CORS_ALLOWED_ORIGINS = ENVIRONMENT.cors_allowed_origins
CORS_URLS_REGEX = r"^/(?!(?:admin|login|logout|upload|list|static)(?:/|$))"
CORS_ALLOW_CREDENTIALS = False  # cookies are never taken from another site (`config/origins.py`)
CORS_ALLOW_HEADERS = [
    *("accept", "accept-language", "authorization", "content-type", "x-access-token", "token", "http_token"),
    *("range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
    *("prefer", "x-request-id"),
]
CORS_EXPOSE_HEADERS = [
    *("ETag", "Last-Modified", "Content-Range", "Content-Disposition", "Content-Length", "Accept-Ranges"),
    *("Retry-After", "Location", "Preference-Applied", "Deprecation", "X-Errors", "X-Request-ID", "WWW-Authenticate"),
]

# What is installed -----------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "config",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "axes",
    "corsheaders",
    "transfers",
    "tasks_api",
    "sync",
]
MIDDLEWARE = [
    "config.watching.noting_view",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.headers.policing",
    *(["corsheaders.middleware.CorsMiddleware"] if ENVIRONMENT.cors_allowed_origins else []),
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.login.PacedLogin",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False  # a redirect would lose a POST's body; every path takes both forms instead
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LOGIN_REDIRECT_URL = "admin:index"  # the admin's form forgets where it is to lead
AUTHENTICATION_BACKENDS = ["config.login.LockoutBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # served out of the packages; nothing to collect, nothing to go stale
WHITENOISE_AUTOREFRESH = False
STATIC_ROOT = ENVIRONMENT.static_root  # nginx's, where it serves them; set for collectstatic alone
DATA_UPLOAD_MAX_MEMORY_SIZE = 2**20
LOGGING_CONFIG = None
logs.configure(ENVIRONMENT.log_level, ENVIRONMENT.log_format, redaction_of(ENVIRONMENT, SECRET_KEY))

# The truth -------------------------------------------------------------------------------------------------------

# IMMEDIATE takes the write lock when a transaction begins, so that two of them wait instead of failing midway. FULL
# syncs each commit, for what was acknowledged must outlive the power too: 4,150 commits/s here, 47,200 without.
_SQLITE_OPTIONS: dict[str, Any] = {
    "timeout": min(8, ENVIRONMENT.lease_seconds * 0.4),  # a heartbeat that waits for it must not lose its lease
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON",
}
# A server that is cut off is given up while there is lease left. No `options` of the server's own: PgBouncer refuses
# them, and its statement_timeout would end migrations too; a server that hangs is the heartbeat's watchdog's to see.
_POSTGRES_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,  # seconds
    "tcp_user_timeout": 10_000,  # milliseconds
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
_SQLITE = "django.db.backends.sqlite3"
_database: dict[str, Any] = (
    dict(dj_database_url.parse(ENVIRONMENT.database_url))
    if ENVIRONMENT.database_url
    else {"ENGINE": _SQLITE, "NAME": ENVIRONMENT.data_dir / "carryon.sqlite3"}
)
_database |= {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}
if _database["ENGINE"] == _SQLITE:
    _database["OPTIONS"] = _SQLITE_OPTIONS
else:
    _database["OPTIONS"] = _POSTGRES_OPTIONS | _database.get("OPTIONS", {})  # what the URL says counts
DATABASES = {"default": _database}

# What may be lost ------------------------------------------------------------------------------------------------

REDIS_URL = ENVIRONMENT.redis_url or f"unix://{quote(str(redis.embedded_socket(ENVIRONMENT.run_dir)))}"
REDIS_OPTIONS = redis.client_options()
CHANNEL_LAYERS = {
    "default": {
        # Pub/sub keeps every socket through a restart of the server; the list-based layer closes them all.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, **REDIS_OPTIONS}]},
    }
}
CELERY_BROKER_URL = redis.broker_url(REDIS_URL)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = ENVIRONMENT.worker_threads
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_ACKS_LATE = False  # a lease in the database brings lost work back; a late ack would run it twice
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "transfers"
CELERY_BEAT_SCHEDULE = {
    "reap": {
        "task": "transfers.reap",
        "schedule": ENVIRONMENT.reap_seconds,
        "options": {"queue": "housekeeping"},  # without an expiry, which would compare the clocks of two hosts
    },
    "reap-syncs": {
        "task": "sync.reap",
        "schedule": ENVIRONMENT.reap_seconds,
        "options": {"queue": "housekeeping"},
    },
    **{
        f"sweep-{app}": {
            "task": f"{app}.sweep",
            "schedule": ENVIRONMENT.sweep_seconds,
            "options": {"queue": "transfers"},  # a store that says nothing must not keep the reaper waiting
        }
        for app in ("transfers", "sync")
    },
    **{
        f"forget-{app}": {
            "task": f"{app}.forget",
            "schedule": ENVIRONMENT.sweep_seconds,
            "options": {"queue": "housekeeping"},
        }
        for app in ("transfers", "sync", "tasks_api", "config")
    },
}
CELERY_BEAT_SCHEDULE_FILENAME = str(ENVIRONMENT.run_dir / "beat-schedule")

# The API ---------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "config.authentication.TokenAuthentication",
        "config.authentication.TokenCookieAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["config.throttles.Throttle"],
    "NUM_PROXIES": 0,  # the edge has put the client's own address in the peer's place
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.exception_handler.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {
    "TOKEN_TTL": timedelta(days=ENVIRONMENT.token_expiry_days),
    "AUTO_REFRESH": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Carryon",
    "DESCRIPTION": "Moves big files so that nothing ever starts over.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "config.openapi.describe"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,  # what is patched here are reports, which must say something
    "ENUM_NAME_OVERRIDES": {
        "SuccessEnum": ["success"],
        "FailEnum": ["fail"],
        "StateEnum": "transfers.models.download.DownloadState",
        "SyncStateEnum": "sync.models.job.JobState",
    },
}
