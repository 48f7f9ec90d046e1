"""Permissions of keys: the scopes of every public method, and of each model's work."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from imagegateway.keys.policy import Scope
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import Source
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.permissions import METHOD_SCOPES, Permissions, scopes_of
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

DESCRIPTORS = Path(pb.__file__).with_name("descriptors.binpb")
CATALOG = Catalog.load(Source({}))
KEYS = Catalog.load(Source({"IMAGEGATEWAY_OPENAI_API_KEY": "k", "IMAGEGATEWAY_GOOGLE_API_KEY": "k"}))
PREFERENCES = Preferences()


def public_methods() -> set[str]:
    files = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
    return {
        f"{file.package}.{service.name}/{method.name}"
        for file in files
        for service in file.service
        for method in service.method
    }


def test_every_public_method_has_scopes() -> None:
    methods = {method for method in public_methods() if method.startswith("imagegateway.v1.")}
    assert methods == METHOD_SCOPES.keys()


def test_admin_methods_need_the_admin_scope() -> None:
    assert scopes_of("imagegateway.admin.v1.AdminService/CreateKey") == {Scope.ADMIN}


def test_method_without_scopes_is_closed() -> None:
    with pytest.raises(KeyError):
        scopes_of("imagegateway.v1.ImageService/Unknown")


def test_reading_key_changes_nothing() -> None:
    reading = {method.rpartition("/")[2] for method, scopes in METHOD_SCOPES.items() if Scope.READ in scopes}
    assert not {name for name in reading if not name.startswith(("Get", "List", "Stream", "Download", "Sign"))}


@pytest.mark.parametrize(
    ("scopes", "model", "edit", "refused"),
    [
        ({Scope.GENERATE}, "openai/gpt-image-1", False, ""),
        ({Scope.EDIT}, "openai/gpt-image-1", False, "generate"),
        ({Scope.GENERATE}, "openai/gpt-image-1", True, "edit"),
        ({Scope.GENERATE}, "google/veo-3.1-fast", False, "video"),
        ({Scope.VIDEO}, "google/veo-3.1-fast", False, ""),
        ({Scope.VIDEO}, "openai/gpt-image-1", False, "generate"),
        ({Scope.READ, Scope.ADMIN}, "openai/gpt-image-1", False, "generate"),
    ],
)
def test_request_without_the_scope_of_its_work_is_refused(
    scopes: set[Scope], model: str, edit: bool, refused: str
) -> None:
    request = pb.EditRequest(model=model, prompt="p") if edit else pb.GenerateRequest(model=model, prompt="p")
    permissions = Permissions(frozenset(scopes))
    if not refused:
        validate_request(request, KEYS, "", PREFERENCES, permissions=permissions)
        return
    with pytest.raises(GatewayError) as raised:
        validate_request(request, KEYS, "", PREFERENCES, permissions=permissions)
    assert raised.value.reason == ErrorReason.ERROR_REASON_INSUFFICIENT_SCOPE
    assert refused in raised.value.message


def test_model_off_the_list_is_not_allowed() -> None:
    with pytest.raises(GatewayError) as raised:
        validate_request(
            pb.GenerateRequest(model="dall-e-3", prompt="p"),
            KEYS,
            "",
            PREFERENCES,
            permissions=Permissions(models=("google/*",)),
        )
    assert raised.value.reason == ErrorReason.ERROR_REASON_MODEL_NOT_ALLOWED
    assert raised.value.param == "model"


@pytest.mark.parametrize(("models", "allowed"), [(("local/*",), True), (("bfl/*",), False)])
def test_substitute_of_the_default_model_obeys_the_list(models: tuple[str, ...], allowed: bool) -> None:
    request, permissions = pb.GenerateRequest(prompt="p"), Permissions(models=models)
    if allowed:
        plan = validate_request(request, CATALOG, "bfl/flux-2-klein-9b", PREFERENCES, permissions=permissions)
        assert plan.model.id == "local/sketch"
        return
    with pytest.raises(GatewayError) as raised:
        validate_request(request, CATALOG, "bfl/flux-2-klein-9b", PREFERENCES, permissions=permissions)
    assert raised.value.reason == ErrorReason.ERROR_REASON_MODEL_NOT_ALLOWED


def test_near_matches_name_no_hidden_model() -> None:
    with pytest.raises(GatewayError) as raised:
        CATALOG.resolve("bfl/flux-2-prq", Permissions(models=("bfl/flux-2-max",)).shows)
    assert "bfl/flux-2-pro" not in raised.value.message
    assert "bfl/flux-2-max" in raised.value.message


@pytest.mark.parametrize(
    ("stated", "key_default", "model", "b64_json"),
    [
        ("", "", "openai/gpt-image-1", False),
        ("", "b64_json", "openai/gpt-image-1", True),
        ("url", "b64_json", "openai/gpt-image-1", False),
        ("", "", "gpt-image-1", True),
        ("", "url", "gpt-image-1", False),
    ],
)
def test_default_response_format_of_the_key_applies_where_none_is_stated(
    stated: str,
    key_default: str,
    model: str,
    b64_json: bool,
) -> None:
    request = pb.GenerateRequest(model=model, prompt="p", response_format=stated)
    plan = validate_request(request, KEYS, "", PREFERENCES, response_format=key_default)
    assert plan.b64_json is b64_json


def test_stream_carries_bytes_whatever_the_key_prefers() -> None:
    request = pb.GenerateRequest(model="openai/gpt-image-1", prompt="p", stream=True)
    assert validate_request(request, KEYS, "", PREFERENCES, response_format="url").b64_json
