"""The only way out to the network: HTTP client, URL guard, DNS, image download."""

from imagegateway.platform.optional_imports import hidden

with hidden("click"):  # httpx would import its command line, with click and rich: 6 MB in each process
    import httpx  # noqa: F401, TID251  the modules of this package use it
