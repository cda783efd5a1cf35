"""What operators set: every environment variable the service reads, typed, with its unit and default.

Each can be read from a file instead: `SECRET_KEY_FILE=/run/secrets/key` in place of `SECRET_KEY`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.settings.files import FileSource, Unreadable
from config.settings.values import (
    Bytes,
    Cloud,
    Clouds,
    CommaSeparated,
    Count,
    DatabaseUrl,
    Days,
    Folder,
    HostsAndNetworks,
    JsonObject,
    Networks,
    Origins,
    Paths,
    RateLimit,
    RedisUrl,
    Seconds,
    WebUrl,
    with_password,
)

LEAST_KEY_CHARACTERS = 32
LEAST_TOKEN_CHARACTERS = 16


class ConfigurationError(SystemExit):
    """The environment cannot be run with; its text lists every variable that is wrong or missing."""


class Environment(BaseSettings):
    """The environment, read once at start; field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take a value from its file, else from its variable."""
        return init_settings, FileSource(settings_cls), env_settings

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8008, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Folder = Field(Path("data"), description="Folder of the database, the broker, the key and the files.")
    workers: Count = Field(1, description="Worker processes.")
    worker_threads: Count = Field(16, description="Transfers at once in one worker process.")
    worker_cpu_threads: Annotated[int, Field(ge=2)] = Field(
        5,
        description=(
            "Zips, checksums and additions to lists at once in one process for these;"
            " from 3 on, neither zips nor checksums keep anything else waiting."
        ),
    )
    web_threads: Count = Field(32, description="HTTP requests at once in the web process.")

    database_password: str = Field(
        "", description="The password of DATABASE_URL where that one's is empty: postgres://user:@host/name."
    )
    database_url: DatabaseUrl = Field("", description="PostgreSQL instead of the embedded SQLite.")
    redis_password: str = Field(
        "", description="The password of REDIS_URL where that one's is empty: redis://:@host:6379/0."
    )
    redis_url: RedisUrl = Field("", description="A Redis or Valkey server instead of the embedded one.")
    secret_key: str = Field(
        "", description="Signs sessions and encrypts stored URLs; made and kept in DATA_DIR when unset and embedded."
    )
    secret_key_fallbacks: CommaSeparated = Field(
        default_factory=list, description="Former SECRET_KEYs, comma-separated, that what they signed is still read by."
    )
    public_url: WebUrl = Field(
        "",
        description="Where browsers reach the service; https turns on secure cookies, HSTS and the redirect to https.",
    )
    allowed_hosts: CommaSeparated = Field(
        default_factory=list,
        description="Host names the service answers to, besides PUBLIC_URL's and local ones; * is any.",
    )
    token_expiry_days: Count = Field(365, description="Life of a new API token, in days.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["text", "json"] = Field("text", description="Form of the logs' lines.")
    metrics_token: str = Field(
        "", description="Bearer token that /metrics asks for; unset, it answers programs on this machine alone."
    )

    trusted_proxies: Networks = Field(
        default_factory=list,
        description=(
            "Addresses and CIDRs, comma-separated, of the proxies in front whose X-Forwarded-For and -Proto are"
            " believed; name them exactly, for whoever else lies in them may pass for anybody."
        ),
    )
    login_failures: Count = Field(
        10, description="Wrong passwords for one user from one address until it may not log in there for a while."
    )
    login_lockout_minutes: Annotated[float, Field(gt=0)] = Field(
        15, description="How long it may not then, and how long a wrong password is remembered, in minutes."
    )
    rate_limit_login: RateLimit = Field(
        "30/min", description="Passwords one address may have looked at, such as 30/min; off: any number."
    )
    rate_limit_anonymous: RateLimit = Field(
        "600/min", description="Requests of nobody that one address may make to the API, such as 600/min; off."
    )
    rate_limit_start: RateLimit = Field(
        "6000/min", description="Uploads, downloads, orders, syncs and tasks one user may begin, such as 6000/min; off."
    )
    rate_limit_requests: RateLimit = Field(
        "30000/min",
        description="Other requests of one user to the API, such as 30000/min; off. Pieces of files do not count.",
    )
    cors_allowed_origins: Origins = Field(
        default_factory=list,
        description="Origins, comma-separated, whose pages may use the API with a token; https://app.example, say.",
    )

    lease_seconds: Seconds = Field(20, description="How long a worker that died keeps its work from others.")
    heartbeat_seconds: Seconds = Field(
        0.5, description="How often a worker renews its lease and looks for a wish to stop."
    )
    reap_seconds: Seconds = Field(3, le=120, description="How often work without a worker is looked for.")
    slice_seconds: Seconds = Field(180, description="How long one transfer may keep a thread that others wait for.")

    fetch_allow: HostsAndNetworks = Field(
        default_factory=list, description="Hosts and CIDRs, comma-separated, that may be fetched though not public."
    )
    download_root: Folder = Field(
        cast("Path", None), description="Folder that all outputFolders lie in; DATA_DIR/downloads when unset."
    )
    download_start_wait_seconds: float = Field(2, ge=0, description="How long a start call waits for the first event.")
    path_map: JsonObject = Field(default_factory=dict, description="JSON object, client path prefix to server folder.")
    legacy_fail_status: Annotated[int, Field(ge=200, le=599)] | None = Field(
        None, description="HTTP status of the fail envelopes of downloads and sync, when set."
    )
    download_connections_per_file: Count = Field(4, description="Connections one worker opens for one large file.")
    download_connections_per_host: Count = Field(8, description="Connections all workers together open to one host.")
    download_parallel_min_bytes: Count = Field(64 * 2**20, description="Size from which a file is fetched in parallel.")
    download_max_bytes_per_second: Bytes = Field(0, description="Bandwidth of all downloads together; 0 is unlimited.")
    download_max_bytes_per_second_per_host: Bytes = Field(
        0, description="Bandwidth of all downloads from a host; 0 is unlimited."
    )
    download_connect_timeout_seconds: Seconds = Field(10, description="How long a connection may take to come about.")
    download_stall_seconds: Seconds = Field(
        30, description="How long a source may send nothing before it is asked again."
    )
    download_max_attempts: Count = Field(8, description="Attempts without a new byte before a download fails.")
    download_retry_seconds: Seconds = Field(
        1, description="First pause before another attempt; it doubles, up to a minute."
    )

    ipfs_gateway_url: WebUrl = Field(
        "", description="Trustless IPFS gateway that ipfs:// URLs are fetched through; none are taken when unset."
    )

    stuck_task_minutes: Count = Field(
        60, description="How long a task at work may tell nothing new before the admin calls it stuck, in minutes."
    )

    storage: Literal["local", "s3"] = Field("local", description="Where uploaded files come to rest.")
    files_root: Folder = Field(
        cast("Path", None), description="Folder of uploaded files on local disk; DATA_DIR/files when unset."
    )
    s3_bucket: str = Field("", description="Bucket of uploaded files.")
    s3_prefix: str = Field("", description="What the keys of this service begin with in the bucket.")
    s3_endpoint_url: WebUrl = Field("", description="Address of an S3-compatible store other than Amazon's.")
    upload_max_bytes: Count = Field(5 * 2**40, description="Largest upload, in bytes.")
    upload_max_part_bytes: Count = Field(5 * 2**30, description="Largest part of an upload, in bytes.")
    upload_expiry_days: Annotated[float, Field(gt=0)] = Field(
        7, description="How long an upload may stay untouched before it is removed with its parts, in days."
    )
    upload_threads: Count = Field(256, description="Parts that the web process receives at once.")
    user_quota_bytes: Count | None = Field(None, description="Bytes one user may have here; unset is unlimited.")
    sweep_seconds: Seconds = Field(600, description="How often it is looked for what nobody needs any more.")
    download_history_days: Days = Field(
        0,
        description="How long an ended download of which nothing is here any more is remembered, in days; 0: for ever.",
    )
    upload_history_days: Days = Field(
        0, description="How long a completed upload is remembered, its file apart, in days; 0: for ever."
    )
    order_history_days: Days = Field(
        0, description="How long an order without a zip is remembered, from when it was made, in days; 0: for ever."
    )
    list_job_history_days: Days = Field(
        30, description="How long an ended job that added files to a list is remembered, in days; 0: for ever."
    )
    sync_history_days: Days = Field(
        365,
        description="How long ended syncs, but a case's last, are remembered, in days; 0: for ever.",
    )
    task_history_days: Days = Field(
        0, description="How long an ended download task is remembered, in days; 0: for ever."
    )
    token_history_days: Days = Field(
        30, description="How long an expired API token is still listed in the admin, in days; 0: for ever."
    )
    audit_log_days: Days = Field(0, description="How long the admin remembers who did what, in days; 0: for ever.")
    order_max_bytes: Count = Field(2 * 2**30, description="Bytes that the files of one order's zip may have.")
    order_expiry_days: Annotated[float, Field(gt=0)] = Field(7, description="How long an order's zip is kept, in days.")
    sync_source_roots: Paths = Field(
        default_factory=list, description="Folders that a first upload's source may lie in, separated by colons."
    )
    sync_save_path: Folder = Field(
        cast("Path", None), description="Folder of the cases' local folders; DATA_DIR/cases when unset."
    )
    sync_regions: Clouds = Field(
        default_factory=dict,
        description=(
            'JSON object, region to {"bucket": …, "endpoint_url"?: …} or {"folder": …};'
            " unset, every region is the folder DATA_DIR/cloud/<region>."
        ),
    )
    sync_connections: Count = Field(8, description="Files, or parts of one, that one worker moves at once in a sync.")
    case_api_hosts: CommaSeparated = Field(
        default_factory=list,
        description="Hosts (name:port), comma-separated, that an apiUrl may name besides this service itself.",
    )
    case_api_token: str = Field("", description="Token that calls to other hosts' case APIs carry.")
    case_api_timeout_seconds: Seconds = Field(10, description="How long a case API may take for an answer.")
    x_accel: JsonObject = Field(
        default_factory=dict,
        description="JSON object, server folder to the internal location of nginx that leads there (X-Accel-Redirect).",
    )

    static_root: Path | None = Field(
        None, description="Folder that `manage.py collectstatic` fills for nginx; the web process needs none."
    )

    # Fields are checked one by one, so that a fault in one never hides a fault in another; each sees in
    # `info.data` the sound ones that were declared before it.

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        if isinstance(value, Unreadable):
            raise ValueError(value.why)  # noqa: TRY004 - pydantic collects ValueErrors only
        return value

    @field_validator("database_url", "redis_url")
    @classmethod
    def _password_from_elsewhere(cls, value: str, info: ValidationInfo) -> str:
        return with_password(value, info.data.get(f"{str(info.field_name).removesuffix('_url')}_password", ""))

    @field_validator("secret_key")
    @classmethod
    def _shared_secret(cls, value: str, info: ValidationInfo) -> str:
        # A DATABASE_URL that is missing here was set, and is faulty.
        if not value and info.data.get("database_url", "postgres").startswith("postgres"):
            raise ValueError("needed with PostgreSQL, so that all processes share one")
        if 0 < len(value) < LEAST_KEY_CHARACTERS:
            raise ValueError(f"must have at least {LEAST_KEY_CHARACTERS} characters")
        return value

    @field_validator("metrics_token")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if 0 < len(value) < LEAST_TOKEN_CHARACTERS:
            raise ValueError(f"must have at least {LEAST_TOKEN_CHARACTERS} characters")
        return value

    @field_validator("download_root", mode="before")
    @classmethod
    def _default_download_root(cls, value: object, info: ValidationInfo) -> object:
        return value or info.data.get("data_dir", Path("data")) / "downloads"

    @field_validator("files_root", mode="before")
    @classmethod
    def _default_files_root(cls, value: object, info: ValidationInfo) -> object:
        return value or info.data.get("data_dir", Path("data")) / "files"

    @field_validator("sync_save_path", mode="before")
    @classmethod
    def _default_sync_save_path(cls, value: object, info: ValidationInfo) -> object:
        return value or info.data.get("data_dir", Path("data")) / "cases"

    @field_validator("s3_bucket")
    @classmethod
    def _bucket_with_s3(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("storage") == "s3":
            raise ValueError("needed with STORAGE=s3")
        return value

    def folder_cloud(self, region: str) -> Cloud:
        """The cloud of a region that nobody has configured."""
        return Cloud(folder=self.data_dir / "cloud" / region)

    @property
    def run_dir(self) -> Path:
        """Where sockets, locks and other things of the running service lie."""
        return self.data_dir / "run"


def read_environment(**overrides: Any) -> Environment:
    """Read the environment; ConfigurationError with every fault when it cannot be run with."""
    try:
        return Environment(**overrides)
    except ValidationError as error:
        raise ConfigurationError(describe(error)) from None


def describe(error: ValidationError) -> str:
    """One line for each fault, under the name of its variable, with no value in it (values may be secrets)."""
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        name = str(fault["loc"][0]).upper() if fault["loc"] else ""
        message = fault["msg"].removeprefix("Value error, ")
        lines.append(f"  {name}: {message}" if name else f"  {message}")
    return "The configuration cannot be used:\n" + "\n".join(lines)
