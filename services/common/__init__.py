"""What every server shares: errors, settings, logs, the gRPC factory, the media store, outbound HTTP."""
