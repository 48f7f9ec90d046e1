"""Model Context Protocol: tools that make and edit images through the gateway's public API.

`endpoint` serves them at `/mcp` in the media process, `stdio` to the program that starts `imagegateway mcp`. Modules
with the SDK are imported at the first call only: the SDK takes 40 MiB.
"""
