"""Job engine: one durable record behind every call, kept as a stream of transitions in NATS JetStream."""
