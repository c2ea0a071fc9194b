"""The gateway's settings: `args` (a change restarts it) and the traffic table in `user_config` (a change does not)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from serve_app.config.base import NO_BOOLEAN, Name, PositiveFloat, PositiveInt, StrictModel
from serve_app.config.inline import InlineRelease
from serve_app.config.release import ReleaseArgs
from serve_app.config.rollout import ExperimentConfig, Percent, RolloutConfig, ShadowConfig, StickyConfig


class LimitsConfig(StrictModel):
    """Bounds that hold before any work is done on a request."""

    max_body_bytes: PositiveInt = Field(default=64 * 2**20, description="Longest HTTP body that is read.")
    max_decompressed_bytes: PositiveInt | None = Field(
        default=None,
        description="Longest body that a compressed one (gzip, deflate, zstd) may become; null: max_body_bytes.",
    )
    max_json_bytes: PositiveInt = Field(
        default=16 * 2**20,
        description="Longest JSON that is parsed, which keeps everybody else waiting; more belongs into V2 binary.",
    )
    max_body_pieces: PositiveInt = Field(default=2**14, description="Most pieces in which a body may arrive.")
    body_timeout_s: PositiveFloat = Field(default=30.0, description="Longest wait for the whole of a body.")
    max_request_rows: PositiveInt = Field(default=4096, description="Most rows of one request.")
    timeout_s: PositiveFloat = Field(default=30.0, description="Longest wait for an answer, unless slo_ms is set.")


class TlsConfig(StrictModel):
    """PEM files on the gateway's machine; clients are asked for a certificate if `client_ca` is given."""

    certificate: Path = Field(description="The server's certificate and its chain.")
    key: Path = Field(description="The certificate's private key, not encrypted.")
    min_version: Literal["tls1.2", "tls1.3"] = "tls1.3"
    client_ca: Path | None = Field(default=None, description="Only clients whose certificate it signed get in.")
    client_crl: tuple[Path, ...] = Field(default=(), description="Lists of certificates it took back.")

    @model_validator(mode="after")
    def _revocation_needs_an_authority(self) -> TlsConfig:
        if self.client_crl and self.client_ca is None:
            raise ValueError("client_crl has no effect without client_ca: no client is asked for a certificate")
        return self


class ExpressConfig(StrictModel):
    """A port of the gateway's own beside the Serve proxy: faster, and shared by the replicas of one machine."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Annotated[int, Field(ge=1, le=65535), NO_BOOLEAN] = 8001
    tls: TlsConfig | None = None


class WebhookConfig(StrictModel):
    """Where every change of traffic is told as an HTTP POST."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$", max_length=2000)] = Field(
        description="Without a user or password in it."
    )
    secret_env: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")] | None = Field(
        default=None, description="Environment variable with the key that signs each event (HMAC-SHA256)."
    )


class AdminConfig(StrictModel):
    """Switches on the verbs of other servers that change what is served, such as Triton's load and unload."""

    token_env: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")] = Field(
        description="Environment variable of the gateway with the token that these calls must bear."
    )
    sources: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="Folders or URLs below which a model that is registered by a call must lie."
    )


class ReleasesConfig(StrictModel):
    """The controller that moves traffic between versions, and where it keeps its state."""

    state_url: Annotated[str, Field(pattern=r"^(sqlite|postgresql\+psycopg)://")] = Field(
        default="sqlite:///.serve-app/state.db",
        description="SQLAlchemy URL; a password belongs into state_password_env.",
    )
    state_password_env: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")] | None = Field(
        default=None, description="Environment variable with the database's password."
    )
    webhooks: tuple[WebhookConfig, ...] = ()


class GatewayArgs(StrictModel):
    """`args` of the application `gateway`."""

    limits: LimitsConfig = LimitsConfig()
    express: ExpressConfig | None = None
    releases: ReleasesConfig = ReleasesConfig()
    admin: AdminConfig | None = None
    explain: bool = Field(
        default=False,
        description="Whether requests may ask what was done for them; the answer shows a release's nodes, their "
        "sources, devices and times, and how many rows of others were executed with it.",
    )


class ModelTraffic(StrictModel):
    """Who answers requests for one model.

    Attributes:
        traffic: Percent of the requests by version tag; sums up to 100.
        labels: Movable names for versions, usable wherever a version tag is.
        inline: Versions that the gateway's replicas execute themselves; the others are applications.
        sticky: What keeps a user at one version; without it each request is drawn anew.
        shadow: Versions that are asked too, for comparison.
        rollout: How `serve-app apply` moves traffic to what this table says; `serve deploy` moves it at once.
        experiment: An A/B test over the versions with traffic.
    """

    traffic: Mapping[Name, Percent] = Field(min_length=1)
    labels: Mapping[Name, Name] = {}
    inline: Mapping[Name, InlineRelease] = {}
    sticky: StickyConfig | None = None
    shadow: tuple[ShadowConfig, ...] = ()
    rollout: RolloutConfig | None = None
    experiment: ExperimentConfig | None = None

    @field_validator("traffic")
    @classmethod
    def _weights_sum_up(cls, traffic: Mapping[str, float]) -> Mapping[str, float]:
        total = sum(traffic.values())
        if abs(total - 100) > 1e-6:
            raise ValueError(f"traffic weights sum up to {total:g}, not to 100")
        return traffic

    @model_validator(mode="after")
    def _names_fit_together(self) -> ModelTraffic:
        if both := sorted(set(self.labels) & self.versions):
            raise ValueError(f"{both[0]!r} is a label and a version tag; a name must be one of them")
        if unused := sorted(set(self.inline) - self.versions):
            raise ValueError(f"inline version {unused[0]!r} can be reached by nobody; give it traffic, if only 0")
        return self

    @model_validator(mode="after")
    def _users_can_be_assigned(self) -> ModelTraffic:
        if self.experiment is None:
            return self
        if self.sticky is None:
            raise ValueError("experiment needs sticky: without it a user gets another version with each request")
        arms = [version for version, weight in self.traffic.items() if weight > 0]
        if len(arms) < 2 or self.experiment.control not in arms:
            raise ValueError(
                f"experiment needs two versions with traffic, one of them its control {self.experiment.control!r}; "
                f"there are: {', '.join(arms)}"
            )
        return self

    @property
    def versions(self) -> frozenset[str]:
        """Every version tag the table names, with traffic, through a label, or as a shadow."""
        return frozenset(self.traffic) | frozenset(self.labels.values()) | {shadow.to for shadow in self.shadow}

    def window(self, model: str, fingerprint: str) -> str:
        """The name under which requests are counted while no rollout gives another one.

        Args:
            model: The model's name.
            fingerprint: Of this entry; it takes a while to make, and whoever asks has it.
        """
        return self.experiment.window(model) if self.experiment else f"{model}:{fingerprint}"

    @property
    def fingerprint(self) -> str:
        """The same for the same routing of requests, however it came about."""
        routing = self.model_dump_json(include={"traffic", "labels", "sticky", "shadow", "experiment"})
        canonical = json.dumps(json.loads(routing), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class TrafficTable(StrictModel):
    """The gateway's `user_config`: models, their traffic and the default model of `POST /predict`."""

    models: Mapping[Name, ModelTraffic] = Field(min_length=1)
    default_model: Name | None = None

    @model_validator(mode="after")
    def _default_exists(self) -> TrafficTable:
        if self.default_model is not None and self.default_model not in self.models:
            raise ValueError(f"default_model {self.default_model!r} is not among models: {', '.join(self.models)}")
        return self

    @property
    def inline(self) -> tuple[ReleaseArgs, ...]:
        """What the gateway's replicas execute themselves."""
        return tuple(
            release.args(model, version)
            for model, traffic in self.models.items()
            for version, release in traffic.inline.items()
        )
