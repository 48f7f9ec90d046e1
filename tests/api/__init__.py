"""The served description against the running gateway; `make test-api` runs these."""
