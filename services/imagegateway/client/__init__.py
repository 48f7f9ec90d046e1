"""Client of the gateway over native gRPC: a channel with safe retries, and a wait for jobs.

This package imports only `imagegateway.v1`, grpcio and protobuf.
"""

from imagegateway.client.channel import connect
from imagegateway.client.jobs import JobTimeoutError, wait_for_job

__all__ = ["JobTimeoutError", "connect", "wait_for_job"]
