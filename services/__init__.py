"""The gateway: a router, one gRPC server per provider family, a media server, and the stack that runs them."""
