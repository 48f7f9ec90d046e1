"""Panels of the Grafana dashboard: questions of an operator, each as queries in PromQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Panel:
    """Time series of one question. `queries`: PromQL by legend. `unit`: Grafana's name of a unit."""

    title: str
    meaning: str
    queries: dict[str, str]
    unit: str = "short"
    stacked: bool = False


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Return PromQL of a counter's increase a second, by labels."""
    chosen = f"{{{where}}}" if where else ""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{chosen}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", where: str = "") -> str:
    """Return PromQL of a histogram's quantile, by labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', labels, where)})"


_PROVIDERS: Final = 'provider=~"$provider"'
_FAILED_CALLS: Final = rate("imagegateway_requests_total", where='status=~"5.."')
_PUBLIC: Final = 'envoy_http_conn_manager_prefix="public"'
_CALL: Final = "imagegateway_request_duration_seconds"
_PROVIDER_CALL: Final = "imagegateway_provider_call_duration_seconds"

ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Overview": (
        Panel(
            "Calls",
            "Calls of the API a second, by status.",
            {"{{status}}": rate("imagegateway_requests_total", "status")},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Server errors",
            "Share of the calls that end with 5xx.",
            {"errors": f"({_FAILED_CALLS} or vector(0)) / {rate('imagegateway_requests_total')}"},
            "percentunit",
        ),
        Panel(
            "Duration of calls",
            "Of calls that make images.",
            {
                f"{name} {{{{operation}}}}": quantile(share, _CALL, "operation", 'operation=~"Generate.*|Edit"')
                for name, share in (("median", 0.5), ("95 %", 0.95))
            },
            "s",
        ),
        Panel(
            "Errors by reason",
            "Calls that failed, by the code of the error.",
            {"{{reason}}": rate("imagegateway_requests_total", "reason", 'reason!=""')},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Images",
            "Images and videos made a minute.",
            {
                "images": f"60 * {rate('imagegateway_images_total')}",
                "videos": f"60 * {rate('imagegateway_videos_total')}",
            },
        ),
        Panel(
            "Refusals by limits",
            "Calls refused by rates, budgets and queues.",
            {"{{reason}} {{tenant}}": rate("imagegateway_refusals_total", "reason, tenant")},
            "reqps",
        ),
    ),
    "Providers and models": (
        Panel(
            "Calls of providers",
            "Ended provider calls of jobs, by outcome.",
            {"{{provider}} {{outcome}}": rate(f"{_PROVIDER_CALL}_count", "provider, outcome", _PROVIDERS)},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Time at the provider",
            "95 % of the calls are faster.",
            {"{{provider}}": quantile(0.95, _PROVIDER_CALL, "provider", _PROVIDERS)},
            "s",
        ),
        Panel(
            "Images by model",
            "Images made a minute.",
            {"{{model}}": f"60 * {rate('imagegateway_images_total', 'model', _PROVIDERS)}"},
            stacked=True,
        ),
        Panel(
            "Open circuit breakers",
            "1: calls of the model avoid the route.",
            {
                "{{model}} {{provider}}": "max by (model, provider) "
                f"(imagegateway_circuit_breaker_open{{{_PROVIDERS}}})"
            },
        ),
        Panel(
            "Retries and fallbacks",
            "Repeated requests, and jobs that continued on another route.",
            {
                "{{provider}} {{reason}}": rate(
                    "imagegateway_provider_retries_total", "provider, reason", _PROVIDERS
                ),
                "{{provider}} to {{next}}": rate(
                    "imagegateway_provider_fallbacks_total", "provider, next", _PROVIDERS
                ),
            },
            "reqps",
        ),
        Panel(
            "Requests to providers",
            "HTTP requests, polls included, by status.",
            {
                "{{provider}} {{status}}": rate(
                    "imagegateway_provider_request_duration_seconds_count", "provider, status", _PROVIDERS
                )
            },
            "reqps",
        ),
    ),
    "Jobs and queue": (
        Panel(
            "Unfinished jobs",
            "Queued and running jobs of all replicas.",
            {"{{state}}": 'sum by (state) (imagegateway_jobs{state=~"queued|running"})'},
            stacked=True,
        ),
        Panel(
            "Wait in the queue",
            "95 % of the jobs start sooner.",
            {"{{provider}}": quantile(0.95, "imagegateway_job_queue_seconds", "provider", _PROVIDERS)},
            "s",
        ),
        Panel(
            "Ended jobs",
            "By state and reason.",
            {"{{state}} {{reason}}": rate("imagegateway_jobs_finished_total", "state, reason", _PROVIDERS)},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Duration of jobs",
            "From acceptance to end; 95 % are faster.",
            {"{{state}}": quantile(0.95, "imagegateway_job_duration_seconds", "state", _PROVIDERS)},
            "s",
        ),
        Panel(
            "Takeovers",
            "Jobs taken over from replicas that vanished, a minute.",
            {"{{provider}}": f"60 * {rate('imagegateway_jobs_taken_over_total', 'provider')}"},
        ),
        Panel(
            "Webhook attempts",
            "By outcome.",
            {"{{outcome}}": rate("imagegateway_webhook_attempts_total", "outcome")},
            "reqps",
            stacked=True,
        ),
    ),
    "Money": (
        Panel(
            "Spend by model",
            "US dollars an hour.",
            {"{{model}}": "sum by (model) (increase(imagegateway_cost_usd_total[1h]))"},
            "currencyUSD",
            stacked=True,
        ),
        Panel(
            "Spend by tenant",
            "US dollars an hour.",
            {"{{tenant}}": "sum by (tenant) (increase(imagegateway_cost_usd_total[1h]))"},
            "currencyUSD",
            stacked=True,
        ),
        Panel(
            "Megapixels",
            "Megapixels made a second, by model.",
            {"{{model}}": rate("imagegateway_megapixels_total", "model", _PROVIDERS)},
            stacked=True,
        ),
    ),
    "Edge": (
        Panel(
            "Requests at the edge",
            "By class of status; includes those that Envoy refuses itself.",
            {
                "{{envoy_response_code_class}}xx": rate(
                    "envoy_http_downstream_rq_xx",
                    "envoy_response_code_class",
                    _PUBLIC,
                )
            },
            "reqps",
            stacked=True,
        ),
        Panel(
            "Connections",
            "Open client connections, and pressure on their limit.",
            {
                "connections": f"sum(envoy_http_downstream_cx_active{{{_PUBLIC}}})",
                "limit used, %": (
                    "max(envoy_overload_envoy_resource_monitors_global_downstream_max_connections_pressure)"
                ),
                "heap used, %": "max(envoy_overload_envoy_resource_monitors_fixed_heap_pressure)",
            },
        ),
        Panel(
            "Bytes",
            "Received from and sent to clients.",
            {
                "received": rate("envoy_http_downstream_cx_rx_bytes_total", where=_PUBLIC),
                "sent": rate("envoy_http_downstream_cx_tx_bytes_total", where=_PUBLIC),
            },
            "Bps",
        ),
        Panel(
            "Failures behind the edge",
            "Requests that Envoy repeated, that timed out, and connections that failed.",
            {
                "repeated {{envoy_cluster_name}}": rate("envoy_cluster_upstream_rq_retry", "envoy_cluster_name"),
                "timed out {{envoy_cluster_name}}": rate("envoy_cluster_upstream_rq_timeout", "envoy_cluster_name"),
                "not connected {{envoy_cluster_name}}": rate(
                    "envoy_cluster_upstream_cx_connect_fail", "envoy_cluster_name"
                ),
            },
            "reqps",
        ),
        Panel(
            "Healthy processes behind the edge",
            "As Envoy sees them.",
            {"{{envoy_cluster_name}}": "min by (envoy_cluster_name) (envoy_cluster_membership_healthy)"},
        ),
    ),
    "NATS and media": (
        Panel(
            "Writes of job records",
            "Time of a write; 99 % are faster.",
            {"{{outcome}}": quantile(0.99, "imagegateway_nats_write_duration_seconds", "outcome")},
            "s",
        ),
        Panel(
            "Lag of the job feed",
            "Age of each replica's view of the jobs.",
            {"{{instance}} {{process}}": "max by (instance, process) (imagegateway_feed_lag_seconds)"},
            "s",
        ),
        Panel(
            "Connected to NATS",
            "1: connected.",
            {"{{instance}} {{process}}": "min by (instance, process) (imagegateway_nats_connected)"},
        ),
        Panel(
            "Media store",
            "Time of an operation; 95 % are faster.",
            {"{{operation}}": quantile(0.95, "imagegateway_media_store_duration_seconds", "operation")},
            "s",
        ),
        Panel(
            "Downloads",
            "Downloads of input images and results, by outcome.",
            {"{{outcome}}": rate("imagegateway_download_duration_seconds_count", "outcome")},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Failures of the media store",
            "By operation.",
            {
                "{{operation}}": rate(
                    "imagegateway_media_store_duration_seconds_count", "operation", 'outcome="failed"'
                )
            },
            "reqps",
        ),
    ),
    "Processes": (
        Panel(
            "Running",
            "1: the process answers.",
            {"{{instance}} {{process}}": "min by (instance, process) (imagegateway_process_up)"},
        ),
        Panel(
            "CPU",
            "Cores in use.",
            {"{{instance}} {{process}}": rate("process_cpu_seconds_total", "instance, process")},
        ),
        Panel(
            "Memory",
            "Resident memory.",
            {"{{instance}} {{process}}": "max by (instance, process) (process_resident_memory_bytes)"},
            "bytes",
        ),
        Panel(
            "Lag of the event loop",
            "Time that work waits for the process; 99 % is less.",
            {"{{instance}} {{process}}": quantile(0.99, "imagegateway_event_loop_lag_seconds", "instance, process")},
            "s",
        ),
        Panel(
            "Open files",
            "File descriptors.",
            {"{{instance}} {{process}}": "max by (instance, process) (process_open_fds)"},
        ),
        Panel(
            "Versions",
            "Processes of each version.",
            {"{{version}}": "count by (version) (imagegateway_build_info)"},
            stacked=True,
        ),
    ),
}
"""Panels by row."""
