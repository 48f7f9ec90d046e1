"""The chain's hops with libraries alone: what any gateway of this shape costs before it has a function.

Envoy's transcoder, a gRPC router, two durable JetStream messages with their delivery, a gRPC server that calls the
provider by aiohttp and flushes the image to disk. No key, validation, job, limit, log line, metric or error.
"""
