"""`make bench`: cost of requests and jobs, beside Envoy as a plain proxy."""
