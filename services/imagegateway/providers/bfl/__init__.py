"""Black Forest Labs: FLUX, by its own API or, for FLUX.2 klein, by Cloudflare Workers AI."""
