"""Settings: read once, from `TOUCHSTONE_*` variables, then `touchstone.toml`, then the defaults."""

import os
from functools import cached_property
from pathlib import Path

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


def usable_cores() -> int:
    """The processor's cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """Everything that can be set. `touchstone doctor --settings` prints each with its source."""

    model_config = SettingsConfigDict(
        env_prefix="TOUCHSTONE_",
        env_ignore_empty=True,  # what compose hands on without a value
        toml_file="touchstone.toml",
        frozen=True,
        extra="forbid",
    )

    home: Path = Field(
        Path("var"), description="Folder of the embedded database, artifacts and secrets."
    )
    database_url: str | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL", "TOUCHSTONE_DATABASE_URL", "database_url"),
        description="A PostgreSQL server to use; without it one is started inside the home.",
    )
    artifacts: str | None = Field(
        None, description="URL of the artifact store (file://, s3://); HOME/artifacts without it."
    )
    public_url: str | None = Field(
        None, description="The address people use, e.g. https://labels.example.org."
    )
    trusted_proxies: str = Field(
        "127.0.0.1", description="Addresses whose X-Forwarded-* headers count, comma separated."
    )
    session_days: int = Field(14, ge=1, description="A sign-in ends after this many days.")
    session_idle_hours: int = Field(
        24, ge=1, description="A sign-in ends after this many hours without a request."
    )
    invitation_days: int = Field(7, ge=1, description="Days for which an invitation link works.")
    max_upload_mb: int = Field(2048, ge=1, description="Largest accepted upload, in MB.")
    max_import_mb: int = Field(
        8192, ge=1, description="Most bytes of an import after decompression, in MB."
    )
    max_line_mb: int = Field(16, ge=1, description="Longest line of an import, in MB.")
    max_import_rows: int = Field(5_000_000, ge=1, description="Most rows of one import.")
    web_processes: int = Field(
        2, ge=1, le=64, description="Web processes of “touchstone up”: as many as cores for people."
    )
    pool_size: int = Field(16, ge=2, description="Database connections of one web process.")
    log_format: str = Field(
        "auto", pattern="^(auto|json|text)$", description="json, text, or auto: text on a terminal."
    )
    log_level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="debug, info, warning or error.",
    )
    endpoints: str = Field(
        "",
        description="Model servers that projects may let write, as host:port, comma separated: "
        "127.0.0.1:8001, api.example.org:443. Their keys are variables of the environment, "
        "TOUCHSTONE_ENDPOINT_KEY_NAME.",
    )
    train_device: str = Field(
        "auto", description="Device of training children: auto, cpu, cuda or cuda:N."
    )
    train_command: str = Field(
        "",
        description="What starts a training, such as `accelerate launch --num-processes 4 -m "
        "app.trainer`; without it this Python, in one process.",
    )
    hang_minutes: float = Field(
        20,
        ge=0,
        description="A training that neither writes nor computes for so long is ended and goes on "
        "from its last saved step (one that only computes, after twelve times as long); 0 waits "
        "for ever.",
    )

    play_minutes: float = Field(
        5, gt=0, description="Minutes for which the playground keeps unused models loaded."
    )

    @field_validator("home")
    @classmethod
    def _home_of_a_known_account(cls, home: Path) -> Path:
        try:
            return home.expanduser()
        except RuntimeError as error:
            raise ValueError(f"there is no account {home.parts[0]} on this machine") from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @cached_property
    def home_path(self) -> Path:
        return self.home.resolve()

    @cached_property
    def artifacts_url(self) -> str:
        return self.artifacts or (self.home_path / "artifacts").as_uri()

    @cached_property
    def secrets_path(self) -> Path:
        return self.home_path / "secrets"


settings = Settings()
