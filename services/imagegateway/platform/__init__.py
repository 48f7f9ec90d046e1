"""Foundations of every process: settings, errors, logs, supervision, server factories, NATS."""
