"""Jobs through the public port: what callers of a running stack see of them."""
