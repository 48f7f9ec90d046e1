"""HTTP server for signed media, health, the API description and the web page."""
