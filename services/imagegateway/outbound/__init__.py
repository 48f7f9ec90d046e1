"""The only way out to the network: HTTP client, URL guard, DNS, image download."""

from imagegateway.platform.optional_imports import hidden

with hidden("click"):  # httpx loads click, pygments and rich for its own command line: 30 ms in each process
    import httpx  # noqa: F401, TID251  loaded here, before any module of this package
