"""Description of the REST API: an OpenAPI 3.1 document, built from proto/ and its comments.

docs/api-description.md explains the parts.
"""
