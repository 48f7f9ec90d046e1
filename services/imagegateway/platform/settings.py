"""Settings of the gateway: environment first, then the settings file, then the default.

`Settings` and `load` define each setting's name, range, default and meaning, and docs/settings.md is generated from
them. A malformed value stops the process with the setting's name. Each command refuses unknown names
(`imagegateway.providers.setting_names`), for the processes that it starts, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from imagegateway.platform import machine, setting_checks, setting_source, sockets
from imagegateway.platform.addresses import UnixAddress
from imagegateway.platform.edge_settings import EdgeSettings
from imagegateway.platform.egress_settings import EgressSettings
from imagegateway.platform.hosts import HostPort, is_wildcard, origin
from imagegateway.platform.internal_settings import InternalSettings, several
from imagegateway.platform.logs import LogFormat, LogLevel
from imagegateway.platform.setting_source import SettingError, Source

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.addresses import Address
    from imagegateway.platform.secret import Secret

MAX_WEBHOOK_PAUSES: Final = 49
"""Most pauses between the attempts of a webhook: a job's record keeps all its attempts."""
MAX_DAYS: Final = 3660
"""Longest retention in days."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings that every process reads. Providers read those of their routes from `source`.

    A field is the setting `IMAGEGATEWAY_<FIELD>`; its docstring is the meaning in docs/settings.md. A paragraph that
    begins with "Default:" states a default that `load` computes.
    """

    source: Source
    host: str
    """IP address that Envoy listens on."""
    port: int
    """Port of REST, gRPC and gRPC-Web."""
    admin_listen: HostPort | None
    """Address (`host:port`, `[::1]:9000`) of a separate listener for administration: `/v1/admin/…`, `/v1/usage` and
    their gRPC services. `/v1/admin/…` then answers 404 on the public port. A key with the scope `admin` is needed on
    both.

    Default: administration on the public port.
    """
    public_url: str
    """Origin by which callers reach the gateway: the start of signed links. Required where the host is a wildcard
    (`0.0.0.0`, `::`).

    Default: `http://<host>:<port>`, with a certificate `https://<host>:<port>`.
    """
    edge: EdgeSettings
    data_dir: Path
    """Directory of sockets and data, for this user alone (mode 0700). The start closes a directory that other users
    can read, and warns where the mode cannot be changed. The path may have any length: sockets that do not fit go to
    `/tmp/imagegateway-<user>-<hash>`.
    """
    api_key: Secret
    """An accepted API key, at least 20 printable characters. Another value replaces the previous one of this data
    directory, from a file without a restart. A revoked key stays revoked. A key from this setting is never printed.
    Gateways that share a NATS server accept the key only where it is set.

    Default: the first start creates a key and prints it.
    """
    secret_key: Secret
    """Root secret of link signatures and encryption at rest, at least 16 characters without a comma. All replicas
    need the same value. [Rotation](root-secret-rotation.md) replaces the root secret without loss.

    Default: created in the data directory.
    """
    secret_key_previous: Secret
    """Earlier root secrets, separated by commas. Links and values made under these stay valid."""
    media_url: str
    """Media store: `file:///dir`, `s3://bucket/prefix`, `gs://…`, `az://…`. Credentials come from the store's own
    environment variables, such as `AWS_…`.

    Default: `file://<data dir>/media`.
    """
    allow_hosts: frozenset[str]
    """Hosts that pass the URL guard, also over http: `name` or `name:port`, separated by commas or blanks."""
    egress: EgressSettings
    default_generate_model: str
    """Model of generations without `model`. A default model that has no key is replaced by `local/sketch` with the
    warning `default_model_unavailable` (strict handling: 503).
    """
    default_edit_model: str
    """Model of edits without `model`, with the same replacement."""
    default_video_model: str
    """Model of videos without `model`, without a replacement."""
    inline_wait: float
    """Longest hold of an inline model's response in seconds. The response then becomes 202 with the job."""
    sdk_hold: bool
    """Hold the responses of slow models for callers that cannot read a job and state no preference. Request headers
    identify these callers: `X-Stainless-*` (OpenAI's SDKs), `ai-sdk…/` or `litellm/` in the user agent.
    """
    prices: str
    """TOML file of own prices, in US dollars: `[prices."openai/gpt-image-1"]` with `per_image = 0.04`, or
    `per_megapixel` (and `per_input_megapixel`), or `per_second`. `[prices."<model>".routes.<route>]` holds for one
    route. An own price replaces the provider's, also where the provider reports a cost. [Prices](prices.md).
    """
    allow_unpriced: bool
    """Let models without a known price run under a budget, where they count as free until their cost is known."""
    job_deadline: float
    """Longest duration of a job from its acceptance, in seconds."""
    concurrency: int
    """Concurrent jobs of one route at its provider, where the catalog knows no limit of the provider."""
    retry_seconds: float
    """Longest time in seconds that one call waits and repeats requests that its provider did not accept. The caller
    then receives the error with `Retry-After`.
    """
    tenant_concurrency: int
    """Concurrent jobs of one tenant at all providers. [Bounds](bounds.md) lists all shares of a tenant."""
    queue_limit: int
    """Waiting jobs on a replica. At the limit, each tenant has an equal share (the limit divided by the number of
    waiting tenants); more jobs answer 503 `overloaded`.
    """
    tenant_jobs_mib: int
    """MiB of records of one tenant's jobs under way, including jobs with pending webhooks. More jobs answer 503
    `overloaded`.
    """
    jobs_max_mib: int
    """MiB of job records in NATS (`max_bytes` of the stream, where the server can reserve as much). From nine tenths
    on, new jobs and `/readyz` answer 503; accepted jobs continue.
    """
    tenant_records_mib: int
    """MiB of all kept records of one tenant in NATS: three days for earlier states of a job,
    `IMAGEGATEWAY_RECORD_DAYS` for its end.
    More jobs answer 503 `overloaded` before anything is paid.

    Default: half of `IMAGEGATEWAY_JOBS_MAX_MIB`.
    """
    media_days: int
    """Full days for which images and videos are kept after their job's end; then their links answer 404. A tenant may
    have its own retention, which applies to jobs accepted from then on. [Retention](retention.md).
    """
    record_days: int
    """Days for which the record of an ended job is kept, without media after `IMAGEGATEWAY_MEDIA_DAYS`."""
    usage_days: int
    """Days for which [usage](usage.md) is kept after a job's end, longer than its record."""
    keep_prompts: bool
    """Keep prompts in the records of ended jobs, where their tenant reads them. Otherwise the end of a job erases its
    prompts.
    """
    decode_pixels: int
    """Pixels that a router or the providers' process decodes concurrently. A PNG or JPEG takes 5 to 18 bytes of
    memory per pixel; WebP counts twice. An edit whose mask finds no room within 30 s answers 503 `overloaded`.
    """
    webhook_pauses: tuple[float, ...]
    """Pauses after each failed webhook attempt in seconds, separated by commas: one attempt more than pauses."""
    events_webhook: str
    """URL that receives the operator's events, such as `budget.threshold`: a POST by Standard Webhooks, signed with
    the webhook secret of the tenant `default`. Empty: no events.
    """
    nats_url: Secret
    """External NATS server or cluster: URLs separated by commas. `tls://` requires TLS; `user:password@` works.
    `imagegateway up` then creates no first image and no key without `--first-image` and `--first-key`. The server's
    `max_payload` limits a request's fields: its default of 1 MiB leaves about 900 KiB.

    Default: the stack's own server.
    """
    nats_credentials: str
    """File with a user's JWT and seed for NATS."""
    nats_ca: str
    """File with the certificates that NATS's TLS is checked against.

    Default: the system's certificates.
    """
    nats_replicas: int
    """Copies of streams and buckets in a NATS cluster: 1, 3 or 5. An external server must flush before it
    acknowledges (`sync_interval: always`).
    """
    routers: int
    """Router processes behind Envoy."""
    internal: InternalSettings
    connections: int
    """Concurrent client connections, lowered to what the limit of open files (`ulimit -Hn`, at least 900) allows."""
    address_share: int
    """Percent of the client connections that one address may have, other than `IMAGEGATEWAY_TRUSTED_PROXIES`.
    Addresses count in 16 groups, so a few share one limit. From half of this share on, idle connections of all
    clients close earlier, after 2 s at nine tenths.
    """
    address_rpm: int
    """Requests a minute that one client address may send, of any kind; more are 429 before their body is read. 0: no
    limit. Behind a load balancer it needs `IMAGEGATEWAY_TRUSTED_PROXIES`. An IPv6 address counts as its /64 network.
    [Limits](limits.md)
    """
    edge_memory: int
    """MiB of Envoy's heap. Envoy resets the largest streams from 85 % on and answers 503 `overloaded` at 95 %.

    Default: a quarter of the machine's memory, 512 to 4096.
    """
    body_memory: int
    """MiB of JSON bodies and gRPC messages that each router holds concurrently. A tenant has half of it. More
    requests answer 503 `overloaded` with `Retry-After`.

    Default: a quarter of the machine's memory, 512 to 4096.
    """
    answer_memory: int
    """MiB of images that each router holds concurrently to send them (`b64_json`, partial images), and MiB of large
    answers that the providers' process reads. A tenant has half of it; an answer that needs more takes that half. An
    answer without room in a router for 30 s is 503 `overloaded` with `Retry-After`, and its job keeps its result. A
    provider's answer waits in `<data dir>/replies`.

    Default: a quarter of the machine's memory, 512 to 4096.
    """
    audit_days: int
    """Days for which audit events are kept."""
    lame_duck: float | None
    """Seconds of normal service between a request to stop (SIGTERM) and the stop. Readiness fails meanwhile, so load
    balancers choose another gateway. A second signal ends the wait.

    Default: 5 for `imagegateway run`, 0 for `imagegateway up`.
    """
    metrics_host: str
    """IP address of the port for health and metrics."""
    metrics_port: int
    """Port for health and metrics (`/healthz`, `/readyz`, `/startupz`, `/metrics`): of all processes of
    `imagegateway up`, or of the one of `imagegateway run`; where set, also of the Envoy that `imagegateway render`
    configures. It needs no key, so callers must not reach it. The start fails if the port is in use; for the default
    port, it only warns.
    """
    log_format: LogFormat
    """Format of log lines. `auto`: `pretty` on a terminal, else `json`."""
    log_level: LogLevel
    """Lowest level that is logged."""

    @property
    def local_url(self) -> str:
        """Origin by which this machine reaches Envoy, with a loopback address for a wildcard.

        With TLS the public origin, whose host the certificate names.
        """
        if self.edge.tls_cert:
            return self.public_url
        loopback = "::1" if ":" in self.host else "127.0.0.1"
        return origin("http", loopback if is_wildcard(self.host) else self.host, self.port)

    @property
    def default_models(self) -> dict[str, str]:
        """Return the models of requests without `model`, by operation."""
        return {
            "generate": self.default_generate_model,
            "edit": self.default_edit_model,
            "video": self.default_video_model,
        }

    @property
    def run_dir(self) -> Path:
        """Rendered configuration and addresses of the running stack."""
        return self.data_dir / "run"

    @property
    def metrics_port_is_set(self) -> bool:
        """Return whether the operator chose `metrics_port`."""
        return bool(self.source.text("METRICS_PORT"))

    @property
    def jobs_max_bytes(self) -> int:
        """`jobs_max_mib` in bytes."""
        return self.jobs_max_mib * 1024 * 1024

    def route_concurrency(self, route: str, allowed: int | None) -> int:
        """Return a route's concurrent jobs for each key: IMAGEGATEWAY_<ROUTE>_CONCURRENCY, default `allowed`."""
        return self.source.integer(f"{route.upper()}_CONCURRENCY", allowed or self.concurrency, 1, 100_000)

    def route_timeout(self, route: str) -> float | None:
        """Return the timeout of a route's requests in seconds, IMAGEGATEWAY_<ROUTE>_TIMEOUT; None if unset."""
        return self.source.optional_number(f"{route.upper()}_TIMEOUT", 1, 3600)

    def socket(self, name: str) -> Path:
        """Return the path of a process's UNIX socket."""
        return sockets.folder(self.run_dir) / f"{name}.sock"

    def router_addresses(self, replica: int) -> tuple[Address, ...]:
        """Return the addresses on which a router serves gRPC. Commands of this machine use the first."""
        own = UnixAddress(self.socket(f"router-{replica}"))
        return (own, self.internal.router_listen) if self.internal.router_listen else (own,)

    def uploads_address(self, replica: int) -> Address:
        """Return the address on which a router serves forms."""
        return self.internal.uploads_listen or UnixAddress(self.socket(f"uploads-{replica}"))

    @property
    def media_address(self) -> Address:
        """Address of the media server."""
        return self.internal.media_listen or UnixAddress(self.socket("media"))

    def provider_addresses(self, family: str) -> tuple[Address, ...]:
        """Return the addresses at which routers find a family: IMAGEGATEWAY_<FAMILY>_URL, else those of all families.

        Raises SettingError.
        """
        own = several(self.source, f"{family.upper()}_URL", encrypted=bool(self.internal.internal_tls_cert))
        return own or self.internal.providers_url or (UnixAddress(self.socket(family)),)

    def nats_address(self) -> str:
        """Return the URL of the NATS server, with credentials: the external server, else the running stack's.

        Raises SettingError when there is neither.
        """
        if self.nats_url:
            return self.nats_url.reveal()
        try:
            return (self.run_dir / "nats-url").read_text().strip()
        except FileNotFoundError:
            raise SettingError(
                f"no gateway runs in {self.data_dir} (start it with `imagegateway up`), "
                "and IMAGEGATEWAY_NATS_URL is not set"
            ) from None


def load(source: Source) -> Settings:
    """Read and check all settings of a source. Raises SettingError naming the wrong setting."""
    data_dir = setting_source.data_dir(source)
    host = setting_checks.host(source)
    port = source.integer("PORT", 8080, 1, 65535)
    edge = EdgeSettings.load(source)
    jobs_max_mib = source.integer("JOBS_MAX_MIB", 8192, 16, 1 << 24)
    return Settings(
        source=source,
        data_dir=data_dir,
        host=host,
        port=port,
        admin_listen=setting_checks.admin_listen(source, HostPort(host, port)),
        public_url=setting_checks.public_url(source, host, port, edge.scheme),
        edge=edge,
        media_url=source.text("MEDIA_URL") or (data_dir / "media").as_uri(),
        nats_url=setting_checks.nats_url(source),
        nats_credentials=source.text("NATS_CREDENTIALS"),
        nats_ca=source.text("NATS_CA"),
        nats_replicas=setting_checks.nats_replicas(source),
        api_key=setting_checks.api_key(source),
        secret_key=source.secret("SECRET_KEY"),
        secret_key_previous=source.secret("SECRET_KEY_PREVIOUS"),
        allow_hosts=setting_checks.allow_hosts(source),
        egress=EgressSettings.load(source),
        routers=source.integer("ROUTERS", 1, 1, 32),
        internal=InternalSettings.load(source),
        audit_days=source.integer("AUDIT_DAYS", 400, 1, MAX_DAYS),
        lame_duck=source.optional_number("LAME_DUCK", 0, 3600),
        metrics_host=setting_checks.metrics_host(source),
        metrics_port=source.integer("METRICS_PORT", 9464, 1, 65535),
        log_format=source.choice("LOG_FORMAT", LogFormat.AUTO),
        log_level=source.choice("LOG_LEVEL", LogLevel.INFO),
        default_generate_model=source.text("DEFAULT_GENERATE_MODEL", "bfl/flux-2-klein-9b"),
        default_edit_model=source.text("DEFAULT_EDIT_MODEL", "bria/fibo-edit/edit"),
        default_video_model=source.text("DEFAULT_VIDEO_MODEL", "google/gemini-omni-1.2-flash"),
        inline_wait=source.number("INLINE_WAIT", 300, 0, 3600),
        sdk_hold=source.flag("SDK_HOLD", default=True),
        prices=source.text("PRICES"),
        allow_unpriced=source.flag("ALLOW_UNPRICED"),
        job_deadline=source.number("JOB_DEADLINE", 21_600, 1, 172_800),
        webhook_pauses=source.numbers(
            "WEBHOOK_PAUSES", (5, 30, 120, 600, 3600, 18_000, 64_800), 2_592_000, MAX_WEBHOOK_PAUSES
        ),
        events_webhook=setting_checks.events_webhook(source),
        queue_limit=source.integer("QUEUE_LIMIT", 20_000, 0, 1_000_000),
        jobs_max_mib=jobs_max_mib,
        tenant_records_mib=source.integer("TENANT_RECORDS_MIB", jobs_max_mib // 2, 1, 1 << 24),
        tenant_jobs_mib=source.integer("TENANT_JOBS_MIB", 64, 1, 1 << 20),
        concurrency=source.integer("CONCURRENCY", 1000, 1, 100_000),
        retry_seconds=source.number("RETRY_SECONDS", 60, 0, 3600),
        connections=source.integer("CONNECTIONS", 20_000, 10, 1_000_000),
        address_share=source.integer("ADDRESS_SHARE", 50, 20, 100),
        address_rpm=source.integer("ADDRESS_RPM", 0, 0, 1_000_000),
        edge_memory=source.integer("EDGE_MEMORY", machine.quarter_of_memory(), 32, 1_048_576),
        body_memory=source.integer("BODY_MEMORY", machine.quarter_of_memory(), 128, 1_048_576),
        answer_memory=source.integer("ANSWER_MEMORY", machine.quarter_of_memory(), 32, 1_048_576),
        tenant_concurrency=source.integer("TENANT_CONCURRENCY", 1000, 1, 100_000),
        media_days=source.integer("MEDIA_DAYS", 7, 1, MAX_DAYS),
        record_days=source.integer("RECORD_DAYS", 30, 1, MAX_DAYS),
        usage_days=source.integer("USAGE_DAYS", 400, 1, MAX_DAYS),
        keep_prompts=source.flag("KEEP_PROMPTS", default=True),
        decode_pixels=source.integer("DECODE_PIXELS", 64_000_000, 60_000_000, 100_000_000_000),
    )


GROUPS: Final = (Settings, EdgeSettings, EgressSettings, InternalSettings)
"""Classes whose fields are settings."""


@cache
def current() -> Settings:
    """Return this process's settings, read once from its environment and settings file."""
    return load(Source.load())
