"""Settings from the environment: those every process shares, and how a service declares its own.

Besides each service's `config.py` this is the only place that reads the environment. A wrong value ends the
process with a sentence that names the variable; a variable of the service that is no setting does too,
because a mistyped name would otherwise be silently without effect.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from services.runtime.fatal import WrongSettings
from services.runtime.limits import (
    ANONYMOUS_RATE,
    KEY_RATE,
    POOLS,
    SERVICE_RATE,
    Limits,
    PoolSize,
    Rate,
    parse_pools,
    parse_rate,
)

SettingsT = TypeVar("SettingsT", bound=BaseSettings)
Port = Annotated[int, Field(ge=0, le=65535)]


def _split(text: object) -> object:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def otlp_endpoint(text: str) -> str:
    """`text` as a URL of a collector. Raises ValueError."""
    url = text if "://" in text else f"http://{text}"
    parts = urlsplit(url)
    try:
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and bool(parts.port)
    except ValueError:  # of a port beyond 65535
        known = False
    if not known or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("is no HOST:PORT of an OTLP collector, such as localhost:4317")
    return url


OtlpEndpoint = Annotated[str, AfterValidator(otlp_endpoint)]
Pools = Annotated[Mapping[str, PoolSize], NoDecode, BeforeValidator(parse_pools)]
TokenRate = Annotated[Rate, NoDecode, BeforeValidator(parse_rate)]
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Type of a setting that lists texts: `FXMESH_MARKET_DATA_SYMBOLS=EURUSD,GBPUSD`."""


def service_config(name: str) -> SettingsConfigDict:
    """`model_config` of a service's settings: `FXMESH_<NAME>_<FIELD>`. `name` is the service's folder."""
    return SettingsConfigDict(env_prefix=f"FXMESH_{name.upper()}_", frozen=True, env_ignore_empty=True)


class RuntimeSettings(BaseSettings):
    """What every process needs, whatever service it runs."""

    model_config = SettingsConfigDict(
        env_prefix="FXMESH_", frozen=True, env_ignore_empty=True, extra="ignore"
    )

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback opens the process to the network."""
    advertise_host: str = ""
    """Name or address by which peers reach this host; empty: `host`. Needed where `host` is a wildcard."""
    grpc_port: Port | None = None
    """gRPC port; 0: any free one, peers learn it from the registry. Default: the contract's."""
    priority_port: Port | None = None
    """gRPC port of cancels and the kill switch alone, where the service has them; 0: any free one. Default:
    the contract's beside the contract's gRPC port, any free one beside another.
    """
    http_port: Port | None = None
    """Port of /health and /metrics; 0: any free one. Default: the contract's."""
    health_port: Port | None = None
    """Port of Kubernetes' probes: plaintext grpc.health.v1 and nothing else. Default: none is opened."""
    nats_url: str = "nats://127.0.0.1:4222"
    """NATS servers, separated by commas. The only address processes must share."""
    nats_user: str = ""
    """As whom to connect to NATS; default: a server that asks nobody."""
    nats_password_file: Path | None = None
    """File with that user's password, read for each connection. Goes with FXMESH_NATS_USER."""
    tls_cert_file: Path | None = None
    """Certificate that this process shows, in PEM, its chain below it. Default: plaintext."""
    tls_key_file: Path | None = None
    """Its key, in PEM without a password."""
    tls_ca_file: Path | None = None
    """Authorities whose certificates peers must show. The three files go together and may change at any time.
    """
    stream_replicas: int = Field(default=1, ge=1, le=5)
    """Servers of the NATS cluster that keep each stream. 3 survives the loss of one; a lone server takes 1.
    """
    data_dir: Path | None = None
    """Folder for this process's own files, used by one process at a time. Default: ./.fxmesh/data/<service>.
    """
    crash_at: str = ""
    """For tests: the point (`services/runtime/crash.py`) at which the process kills itself. Default: none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines below it are dropped."""
    log_format: Literal["json", "console"] = "json"
    """One JSON object a line for machines, or aligned text for a person."""
    discovery: Literal["registry", "dns"] = "registry"
    """How peers are found: the registry in NATS, or one DNS name a service (Kubernetes)."""
    identity: Literal["on", "off"] = "on"
    """Whether callers must say who they are. `off`: whoever reaches the port may call everything; taken on
    loopback only.
    """
    jwks: CommaSeparated = ()
    """Public keys of whoever issues tokens, as JSON Web Key Sets: files, or https addresses."""
    jwks_ca: Path | None = None
    """Certificate authority of those addresses. Default: those the system trusts."""
    jwks_token_file: Path | None = None
    """Token to show there. Default: none is shown."""
    token_file: Path | None = None
    """This process's own token, for its calls to peers; read again when the file changes."""
    token_issuer: str = "fxmesh"  # noqa: S105
    """Issuer that tokens must name; on Kubernetes that of the cluster's service accounts."""
    token_audience: str = "fxmesh"  # noqa: S105
    """Audience that tokens must be meant for."""
    token_namespace: str = "fxmesh"  # noqa: S105
    """Namespace whose service accounts are this platform's."""
    otlp_endpoint: OtlpEndpoint | None = None
    """Where traces go, by OTLP over gRPC: `localhost:4317`, or a URL (`https`: TLS). Default: nowhere."""
    trace_sample: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share (0..1) of calls without a trace that begin one, at the cost of throughput. Orders and signals
    always do.
    """
    bulkheads: Pools = POOLS
    """Calls at work and in the queue of single groups, over the defaults: `orders=64/256, bulk=4/8`."""
    rate_keys: TokenRate = KEY_RATE
    """Tokens a second and burst of each API key, `2000/4000`. A call takes its method's cost."""
    rate_services: TokenRate = SERVICE_RATE
    """The same of each of the platform's own services, and of its operator."""
    rate_anonymous: TokenRate = ANONYMOUS_RATE
    """The same of each host whose callers show no credentials."""
    admission: bool = True
    """Calls are shed while the process cannot keep up. False: all are late instead."""
    drills: bool = False
    """Faults are injected as `faults` says. For drills: calls fail on purpose."""
    faults: str = ""
    """Rules such as `fxmesh.marketdata.v1.MarketDataService/ListQuotes delay=200ms percent=10; …`."""

    @property
    def limits(self) -> Limits:
        """What this process takes on."""
        return Limits(self.bulkheads, self.rate_keys, self.rate_services, self.rate_anonymous, self.admission)


def load(settings_class: type[SettingsT]) -> SettingsT:
    """Read settings from the environment. Raises WrongSettings with a sentence about every wrong variable."""
    prefix = str(settings_class.model_config.get("env_prefix", ""))
    fields = settings_class.model_fields
    if prefix != "FXMESH_":  # that prefix is shared by everyone's
        _refuse_strangers(prefix, fields)
    try:
        return settings_class()
    except ValidationError as failure:
        raise WrongSettings(*(_sentence(prefix, fields, dict(each)) for each in failure.errors())) from None
    except SettingsError as failure:
        raise WrongSettings(str(failure)) from None


def _refuse_strangers(prefix: str, fields: dict[str, FieldInfo]) -> None:
    known = {f"{prefix}{name}".upper() for name in fields}
    for variable in sorted(os.environ):
        if variable.startswith(prefix) and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise WrongSettings(f"{variable} is set but is not a setting{hint}: correct or unset it")


_IN_PLAIN_WORDS = {
    "bool_parsing": "should be true or false",
    "float_parsing": "should be a number",
    "int_parsing": "should be a whole number",
    "missing": "is needed",
}


def _sentence(prefix: str, fields: dict[str, FieldInfo], error: dict[str, Any]) -> str:
    """What is set, and what may be."""
    said = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    said = _IN_PLAIN_WORDS.get(error["type"], said)
    location = error["loc"]
    if not location:
        return said
    name = str(location[0])
    field = fields.get(name)
    variable = f"{prefix}{name.upper()}"
    if error["type"] == "missing":
        return f"{variable} {said}"
    if field is not None and field.annotation is SecretStr:
        return f"{variable} {said}"
    return f"{variable} is {without_credentials(str(error['input']))[:80]!r}, but {said}"


def without_credentials(text: str) -> str:
    """`text` with user and password of every URL in it blanked."""
    return re.sub(r"//[^/@\s]*@", "//***@", text)
