"""API keys, provider keys, webhook secrets and the root secret that protects them."""
