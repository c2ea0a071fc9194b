"""The gateway's settings: `args` (a change restarts it) and the traffic table in `user_config` (a change does not)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from serve_app.config.base import NO_BOOLEAN, Name, PositiveFloat, PositiveInt, StrictModel
from serve_app.config.inline import InlineRelease
from serve_app.config.release import ReleaseArgs

Percent = Annotated[float, Field(ge=0, le=100), NO_BOOLEAN]


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


class GatewayArgs(StrictModel):
    """`args` of the application `gateway`."""

    limits: LimitsConfig = LimitsConfig()
    express: ExpressConfig | None = None
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
    """

    traffic: Mapping[Name, Percent] = Field(min_length=1)
    labels: Mapping[Name, Name] = {}
    inline: Mapping[Name, InlineRelease] = {}

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

    @property
    def versions(self) -> frozenset[str]:
        """Every version tag the table names, with traffic or only through a label."""
        return frozenset(self.traffic) | frozenset(self.labels.values())


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
