"""`make bench`: what a request costs on its way through the gateway, beside Envoy as a plain proxy."""
