"""`imagegateway models`: the catalog with capabilities, prices and availability."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from cyclopts import App, Parameter
from imagegateway.cli.client import Client
from imagegateway.cli.errors import CommandError
from imagegateway.cli.options import Json
from imagegateway.cli.target import Connection
from imagegateway.cli.terminal import print_document, print_fields, print_table

_EXAMPLES = """
Examples:
  imagegateway models
  imagegateway models flux
  imagegateway models bfl/flux-2-pro
  imagegateway models --capability mask --ready
"""
app = App(name="models", usage="Usage: imagegateway models [OPTIONS] [QUERY]", help_epilogue=_EXAMPLES)

_Model: TypeAlias = dict[str, Any]
_UNITS: Final = {"megapixel": "MP", "million_tokens": "M tokens"}
"""Short names of units of prices."""


@app.default
def models(
    query: Annotated[str, Parameter(help="A model's id or alias for its details, or a part of a name.")] = "",
    /,
    *,
    capability: Annotated[
        tuple[str, ...], Parameter(help="Only models with this capability, such as image_to_image. Repeatable.")
    ] = (),
    provider: Annotated[str, Parameter(help="Only models with this provider route, such as fal.")] = "",
    modality: Annotated[str, Parameter(help="Only image or video models.")] = "",
    ready: Annotated[bool, Parameter(help="Only models that can serve a request now.")] = False,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List models, search them, or show one."""
    filters = {"modality": modality, "provider": provider}
    with Client.connect(connection) as client:
        every: list[_Model] = client.call(
            "GET", "/v1/models", params={name: value for name, value in filters.items() if value}
        )["data"]
    exact = [model for model in every if query and query in {model["id"], *model.get("aliases", [])}]
    if exact:
        _show(exact[0], as_json=json)
        return
    found = [
        model
        for model in every
        if _matches(model, query)
        and set(capability) <= set(model.get("capabilities", []))
        and (model.get("available") or not ready)
    ]
    if not found and query:
        raise CommandError(f"no model matches {query!r}: `imagegateway models` lists all")
    if json:
        print_document({"object": "list", "data": found})
    else:
        found.sort(key=lambda model: (not model.get("available"), model["id"]))
        print_table(("model", "ready", "cost", "makes", "from", "options"), map(_row, found))


def _matches(model: _Model, query: str) -> bool:
    """Return True if each word of the query occurs in the model's names or description."""
    text = " ".join((model["id"], model.get("description", ""), *model.get("aliases", []))).lower()
    return all(word in text for word in query.lower().split())


def _row(model: _Model) -> tuple[str, ...]:
    capabilities: list[str] = model.get("capabilities", [])
    sources = [
        name
        for name, wanted in (("text", {"text_to_image", "text_to_video"}), ("image", {"image_to_image"}))
        if wanted & set(capabilities)
    ]
    options = [name for name in capabilities if "_to_" not in name]
    ready = "yes" if model.get("available") else "retired" if "retired_at" in model else "no"
    return model["id"], ready, _estimate(model), model["modality"], ", ".join(sources), ", ".join(options)


def _estimate(model: _Model) -> str:
    """Return the expected cost of a default request. Empty for an unknown one."""
    pricing = model.get("pricing", {})
    return f"{pricing['estimate']:g} {pricing['currency']}" if "estimate" in pricing else ""


def _show(model: _Model, *, as_json: bool) -> None:
    if as_json:
        print_document(model)
        return
    limits = model.get("limits", {})
    pricing = model.get("pricing", {})
    sides = [str(limits[name]) for name in ("min_side", "max_side") if name in limits]
    fields = {
        "id": model["id"],
        "description": model.get("description", ""),
        "modality": model["modality"],
        "aliases": ", ".join(model.get("aliases", [])),
        "ready": "yes"
        if model.get("available")
        else f"no: {model.get('unavailable_reason', 'no route is configured')}",
        "retired": model.get("retired_at", ""),
        "successor": model.get("successor", ""),
        "price": f"{pricing['amount']:g} {pricing['currency']} per {_UNITS.get(pricing['unit'], pricing['unit'])}"
        if "amount" in pricing
        else "unknown",
        "usual cost": _estimate(model),
        "capabilities": ", ".join(model.get("capabilities", [])),
        "sizes": ", ".join(limits.get("sizes", [])),
        "sides": f"{' to '.join(sides)} pixels in steps of {limits.get('side_step', 1)}" if sides else "",
        "formats": ", ".join(limits.get("output_formats", [])),
        "qualities": ", ".join(limits.get("qualities", [])),
        "images per request": str(limits.get("max_n", "")),
        "input images": str(limits.get("max_input_images") or ""),
        "prompt length": str(limits.get("max_prompt_length", "")),
        **{f"route {route['name']}": _route(route) for route in model.get("routes", [])},
    }
    print_fields({name: text for name, text in fields.items() if text})


def _route(route: dict[str, Any]) -> str:
    missing = route.get("missing_settings", [])
    return f"{route['mode']}, " + ("ready" if route.get("available") else f"needs {', '.join(missing) or 'a key'}")
