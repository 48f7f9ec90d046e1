"""The only way out to the network: HTTP client, URL guard, DNS, image download."""
