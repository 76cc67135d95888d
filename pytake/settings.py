"""Settings: one file, every value from the environment or a safe default."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from pytake.embedded import celery_url

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def required(name: str, hint: str) -> str:
    """A value that has no safe default; the start command fills it in for a local run."""
    value = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {hint}")
    return value


PYTAKE_HOME = Path(env.str("PYTAKE_HOME", default=str(BASE_DIR / ".pytake")))
SECRET_KEY = required("SECRET_KEY", "Start with `python3 manage.py up`, or set a long random text.")
_FIELD_KEYS = required("PYTAKE_FIELD_KEYS", "Comma-separated Fernet keys; the first one encrypts.")
PYTAKE_FIELD_KEYS = [key for key in _FIELD_KEYS.split(",") if key]
DEBUG = env.bool("DEBUG", default=False)
TESTING = env.bool("PYTAKE_TESTING", default=False)

PORT = env.int("PORT", default=8000)
BIND = env.str("BIND", default="127.0.0.1")
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
if urlsplit(PUBLIC_URL).scheme not in {"http", "https"}:
    raise ImproperlyConfigured("PUBLIC_URL must start with http:// or https://.")
SECURE = PUBLIC_URL.startswith("https://")
# Where this installation reaches itself; the phone simulator lives there.
INTERNAL_URL = env.str("INTERNAL_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
PYTAKE_ALLOW_PRIVATE_HOSTS = env.list("PYTAKE_ALLOW_PRIVATE_HOSTS", default=[])
PYTAKE_METRICS_TOKEN = env.str("PYTAKE_METRICS_TOKEN", default="")  # of /metrics; "": this machine only
PYTAKE_FAKE_PROVIDER_PORT = env.int("PYTAKE_FAKE_PROVIDER_PORT", default=0)
PYTAKE_DEMO_PASSWORD = env.str("PYTAKE_DEMO_PASSWORD", default="")
# Messages written quickly one after another are answered together: quiet time and longest wait, in seconds.
# Shorter in chaos runs. The lease is longer than connect + read time-outs of the outgoing client.
PYTAKE_SENDING_LEASE_SECONDS = env.float("PYTAKE_SENDING_LEASE_SECONDS", default=90.0)
PYTAKE_UNKNOWN_HOLDS_SECONDS = env.float("PYTAKE_UNKNOWN_HOLDS_SECONDS", default=30.0)
PYTAKE_FAIL_POINT = env.str("PYTAKE_FAIL_POINT", default="") if TESTING else ""
PYTAKE_SENDER_THREADS = env.int("PYTAKE_SENDER_THREADS", default=16)  # calls at once, per process
PYTAKE_COALESCE_SECONDS = env.float("PYTAKE_COALESCE_SECONDS", default=0.8)
PYTAKE_COALESCE_MAX_SECONDS = env.float("PYTAKE_COALESCE_MAX_SECONDS", default=4.0)

_OWN_NAMES = {"127.0.0.1", "localhost", "[::1]", urlsplit(PUBLIC_URL).hostname or "", BIND} - {""}
# How long a process may answer webhooks with a channel it has read before; tests want the truth at once.
PYTAKE_CHANNEL_CACHE_SECONDS = env.float("PYTAKE_CHANNEL_CACHE_SECONDS", default=0.0 if TESTING else 3.0)

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=sorted(_OWN_NAMES))
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
if env.bool("PYTAKE_BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "channels",
    "django_celery_beat",
    "django_fsm",
    "django_htmx",
    "csp",
    "pytake",
    "accounts",
    "contacts",
    "channels_hub",
    "channels_twilio",
    "queues",
    "flows",
    "conversations",
    "automations",
    "insights",
]
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "pytake.urls"
WSGI_APPLICATION = "pytake.wsgi.application"
ASGI_APPLICATION = "pytake.asgi.application"

MIDDLEWARE = [
    "pytake.middleware.WebhookLane",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.TenantMiddleware",
    "conversations.middleware.SignsOfLife",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "csp.middleware.CSPMiddleware",
    "pytake.middleware.AdminPolicy",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "conversations.me.on_the_rail",
            ]
        },
    }
]

DATABASES = {"default": env.db_url_config(required("DATABASE_URL", "Start with `python3 manage.py up`."))}
DATABASES["default"] |= {
    "CONN_MAX_AGE": env.int("PYTAKE_CONN_MAX_AGE", default=600),
    "CONN_HEALTH_CHECKS": True,
}
DATABASES["default"].setdefault("OPTIONS", {})["options"] = (
    "-c lock_timeout=5s -c idle_in_transaction_session_timeout=30s -c statement_timeout=30s"
)

# Redis is disposable: sockets' doorbell, Celery's broker and the cache. Nothing is lost with it.
REDIS_URL = required("REDIS_URL", "Start with `python3 manage.py up`.")
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "pytake",
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
}
CELERY_BROKER_URL = celery_url(REDIS_URL)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 25,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 240
CELERY_TASK_SOFT_TIME_LIMIT = 200
CELERY_TASK_DEFAULT_QUEUE = "interactive"
CELERY_TASK_ROUTES = {"channels_twilio.*": {"queue": "whatsapp_outbound"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_DB_REUSE_MAX = 1000  # without it Celery closes the database connection around every task
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "conversations.tasks.sweep", "schedule": timedelta(seconds=10)},
    "reconciliation": {"task": "conversations.tasks.seek_evidence", "schedule": timedelta(seconds=30)},
    "mending": {"task": "conversations.tasks.mend", "schedule": timedelta(seconds=60)},
    "templates": {"task": "conversations.tasks.fetch_templates", "schedule": timedelta(hours=1)},
    "housekeeping": {"task": "conversations.tasks.housekeep", "schedule": timedelta(hours=1)},
}

CHANNEL_ADAPTERS = {
    "twilio_whatsapp": "channels_twilio.adapter.TwilioWhatsApp",
    "twilio_sms": "channels_twilio.adapter.TwilioSms",
    "phone": "channels_hub.adapters.phone.Phone",
}

LANGUAGE_CODE = "pt-br"
LANGUAGES = [("pt-br", "Português (Brasil)"), ("en", "English"), ("es", "Español")]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
TIME_ZONE = "America/Sao_Paulo"
USE_TZ = True
USE_I18N = True

STATIC_URL = "/static/"
STATIC_ROOT = PYTAKE_HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_ROOT = PYTAKE_HOME / "media"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage."
        + ("StaticFilesStorage" if TESTING else "ManifestStaticFilesStorage")
    },
}
# Tests serve static files as they are in the tree.
WHITENOISE_AUTOREFRESH = WHITENOISE_USE_FINDERS = TESTING
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
FILE_UPLOAD_HANDLERS = [
    "channels_hub.uploads.Bounded",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
if TESTING:  # hundreds of test users; the real hasher is slow on purpose
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_AGE = 7 * 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = SECURE
CSRF_COOKIE_SECURE = SECURE
# Two copies on one host (other ports) must not log each other out.
SESSION_COOKIE_NAME = f"pytake_session_{PORT}"
CSRF_COOKIE_NAME = f"pytake_csrf_{PORT}"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = env.bool("PYTAKE_SSL_REDIRECT", default=SECURE)
SECURE_HSTS_SECONDS = 31536000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE
SECURE_HSTS_PRELOAD = SECURE
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"],
        "media-src": ["'self'", "blob:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.BearerAuthentication",
        "accounts.authentication.ApiKeyAuthentication",
        "accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.MayDo"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "accounts.rest.CursorPages",
    "PAGE_SIZE": 25,
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "accounts.rest.problem",
    "UNAUTHENTICATED_USER": None,
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=10),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "ALGORITHM": "HS256",
    "SIGNING_KEY": env.str("PYTAKE_JWT_KEY", default=f"jwt:{SECRET_KEY}"),
    "AUDIENCE": "pytake-api",
    "ISSUER": "pytake",
    "USER_ID_CLAIM": "sub",
    "CHECK_REVOKE_TOKEN": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "PyTake API",
    "DESCRIPTION": "The outside contract: people, channels, conversations, queues, flows, outbox.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("PYTAKE_LOG_LEVEL", default="INFO")},
}

UNFOLD = {
    "SITE_TITLE": "PyTake",
    "SITE_HEADER": "PyTake",
    "SITE_SUBHEADER": _("Open customer-service desk"),
    "SITE_URL": "/inbox/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("inbox/logo.svg")}
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {"navigation": "accounts.admin_base.sidebar"},
    "DASHBOARD_CALLBACK": "conversations.admin_index.cards",
    # The teal of the inbox (OKLCH hue 178), so that both look like one product.
    "COLORS": {
        "primary": {
            "50": "oklch(97.5% .02 178)",
            "100": "oklch(94% .045 178)",
            "200": "oklch(88% .08 178)",
            "300": "oklch(80% .11 178)",
            "400": "oklch(70% .12 178)",
            "500": "oklch(58% .11 178)",
            "600": "oklch(48% .095 178)",
            "700": "oklch(41% .08 178)",
            "800": "oklch(34% .065 178)",
            "900": "oklch(28% .05 178)",
            "950": "oklch(20% .035 178)",
        }
    },
}
