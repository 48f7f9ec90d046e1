"""Media: the store, signed links, image inspection and conversion, and the HTTP server (`web`)."""
