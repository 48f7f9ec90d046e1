"""Responses of each provider's API, as data: a case for every API that an adapter calls.

A new adapter needs its case here, or `test_states.py` fails. All tests of this folder then run over it.
"""

from __future__ import annotations

import json
from typing import Final

from tests.providers.contract.api_case import (
    B64,
    B64_MP4,
    BASE,
    IMAGE_URL,
    PNG,
    VIDEO_URL,
    ApiCase,
    Response,
    done,
    fails,
)
from tests.providers.contract.shared_responses import (
    ARK,
    COMPLETED,
    FAL,
    GOOGLE,
    PARTIAL,
    STABILITY,
    bria,
    cloudflare_error,
    events,
    gemini,
    omni,
    omni_video,
    openai_error,
    stability,
    veo,
)

API_CASES: Final = (
    ApiCase(
        family="bfl",
        route="bfl",
        model="bfl/flux-2-pro",
        accepted=Response({"id": "t1", "polling_url": f"{BASE}/v1/get_result?id=t1", "cost": 3}),
        working=(
            Response({"status": "Pending"}),
            Response({"status": "Reasoning"}),
            Response({"status": "Generating", "progress": 0.5}),
        ),
        ends={
            "done": done({"status": "Ready", "result": {"sample": IMAGE_URL, "seed": 5}}),
            "Request Moderated": fails("moderation_blocked", {"status": "Request Moderated"}),
            "Content Moderated": fails("moderation_blocked", {"status": "Content Moderated"}),
            "Error": fails("provider_error", {"status": "Error"}),
            "Failed": fails("provider_error", {"status": "Failed"}),
        },
        unknown=("Task not found", Response({"status": "Task not found"})),
    ),
    ApiCase(
        family="bfl",
        route="cloudflare",
        model="bfl/flux-2-dev",
        ends={
            "done": done({"result": {"image": B64}, "success": True, "errors": []}),
            "bytes": done(Response(PNG, headers={"content-type": "image/png", "cf-ai-neurons": "12.5"})),
            "no image": fails("provider_bad_response", {"result": {}, "success": True}),
            "error with status 200": fails("provider_error", {"success": False, "errors": [], "result": None}),
        },
        coded=cloudflare_error,
        worded={
            "flagged": cloudflare_error("3030", "AiError: Your output has been flagged. Choose another."),
            "bad image": cloudflare_error("3030", "AiError: Invalid input image"),
        },
        settings={"IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID": "acc"},
        free=lambda status, _body: status in {503, 521, 523},
    ),
    ApiCase(
        family="bria",
        route="bria",
        model="bria/fibo/generate",
        accepted=Response({"request_id": "t1", "status_url": f"{BASE}/v2/status/t1"}, 202),
        working=(Response(bria("IN_PROGRESS")),),
        ends={
            "done": done(bria("COMPLETED", result={"image_url": IMAGE_URL, "seed": 5})),
            "ERROR": fails("provider_error", bria("ERROR", error={"code": 500, "message": "m"})),
            "FAILED": fails("provider_error", bria("FAILED")),
            "UNKNOWN": fails("provider_error", bria("UNKNOWN", error={"code": 500, "message": "m"})),
            "moderated": fails(
                "moderation_blocked",
                bria("ERROR", error={"code": 422, "message": "Moderated", "details": "output_moderation"}),
            ),
        },
        unknown=("PAUSED", Response(bria("PAUSED"))),
        coded=lambda code: Response({"error": {"code": code, "message": "m"}}, 400),
        worded={"moderation": Response({"error": {"code": 422, "message": "Prompt moderation"}}, 422)},
    ),
    ApiCase(family="bria", model="bria/fibo/generate", **FAL),
    ApiCase(
        model="bytedance/seedream-5",
        ends={
            "done": done({"data": [{"url": IMAGE_URL, "size": "2048x2048"}], "usage": {"total_tokens": 5}}),
            "base64": done({"data": [{"b64_json": B64}]}),
            "refused": fails(
                "moderation_blocked", {"data": [{"error": {"code": "OutputImageSensitiveContentDetected"}}]}
            ),
            "error with status 200": fails("provider_error", {"error": {"code": "InternalServiceError"}}),
        },
        empty="provider_error",
        **ARK,
    ),
    ApiCase(
        model="bytedance/seedance-2.0",
        accepted=Response({"id": "t1"}),
        working=(Response({"id": "t1", "status": "queued"}), Response({"id": "t1", "status": "running"})),
        ends={
            "done": done({"id": "t1", "status": "succeeded", "content": {"video_url": VIDEO_URL}, "seed": 5}),
            "failed": fails("provider_error", {"status": "failed", "error": {"code": "InternalServiceError"}}),
            "refused": fails(
                "moderation_blocked", {"status": "failed", "error": {"code": "OutputVideoSensitiveContentDetected"}}
            ),
            "cancelled": fails("provider_error", {"status": "cancelled"}),
            "expired": fails("provider_timeout", {"status": "expired"}),
        },
        unknown=("paused", Response({"status": "paused"})),
        cancel=("DELETE", "/api/v3/contents/generations/tasks/t1"),
        options={"watermark": True, "x_new": 7},
        **ARK,
    ),
    ApiCase(
        model="google/gemini-2.5-flash-image",
        ends={
            "done": done(
                gemini(content={"parts": [{"text": "t"}, {"inlineData": {"mimeType": "image/png", "data": B64}}]})
            ),
            "prompt blocked": fails("moderation_blocked", {"promptFeedback": {"blockReason": "SAFETY"}}),
            **{
                reason: fails("moderation_blocked", gemini(finishReason=reason))
                for reason in (
                    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST"),
                    *("SPII", "IMAGE_RECITATION", "RECITATION"),
                )
            },
            **{
                reason: fails("provider_error", gemini(finishReason=reason))
                for reason in ("NO_IMAGE", "IMAGE_OTHER", "OTHER", "MAX_TOKENS", "STOP", "MALFORMED_FUNCTION_CALL")
            },
        },
        unknown=("DREAMING", Response(gemini(finishReason="DREAMING"))),
        options={"generationConfig": {"temperature": 1}, "x_new": 7},
        **GOOGLE,
    ),
    ApiCase(
        model="google/imagen-3",
        ends={
            "done": done({"predictions": [{"bytesBase64Encoded": B64, "mimeType": "image/png"}]}),
            "filtered": fails("moderation_blocked", {"predictions": [{"raiFilteredReason": "x"}]}),
            "all filtered": fails("moderation_blocked", {}),
        },
        options={"parameters": {"includeRaiReason": False}, "x_new": 7},
        defaults=frozenset({"parameters.includeRaiReason"}),
        empty="moderation_blocked",
        **GOOGLE,
    ),
    ApiCase(
        model="google/veo-3.1-fast",
        accepted=Response({"name": "models/veo/operations/t1"}),
        working=(
            Response({"name": "models/veo/operations/t1"}),
            Response({"name": "models/veo/operations/t1", "done": False}),
        ),
        ends={
            "done": done(veo(generatedSamples=[{"video": {"uri": VIDEO_URL}}])),
            "filtered": fails("moderation_blocked", veo(raiMediaFilteredCount=1)),
            "nothing": fails("provider_error", veo()),
            "error": fails("provider_error", {"done": True, "error": {"code": 13, "message": "m"}}),
            "error, refused": fails(
                "moderation_blocked",
                {"done": True, "error": {"code": 3, "message": "violates our usage guidelines"}},
            ),
        },
        unknown=("not found", Response({"error": {"code": 404, "status": "NOT_FOUND"}}, 404)),
        options={"parameters": {"enhancePrompt": True}, "x_new": 7},
        **GOOGLE,
    ),
    ApiCase(
        model="google/gemini-omni-1.1-flash",
        accepted=Response(omni("in_progress")),
        working=(Response(omni("queued")), Response(omni("in_progress"))),
        ends={
            "done": done(omni_video(data=B64_MP4)),
            "uri": done(omni_video(uri=VIDEO_URL)),
            "file": done(
                omni_video(uri="https://generativelanguage.googleapis.com/v1beta/files/f1"),
                {"state": "PROCESSING"},
                {"state": "ACTIVE"},
            ),
            "file that failed": fails("provider_error", omni_video(uri="/v1beta/files/f1"), {"state": "FAILED"}),
            "no video": fails("provider_error", omni("completed", steps=[])),
            "failed with errors": fails("provider_timeout", omni("failed", errors=[{"code": 4, "message": "m"}])),
            **{
                status: fails("provider_error", omni(status))
                for status in ("failed", "incomplete", "cancelled", "requires_action", "requires_continuation")
            },
            "budget_exceeded": fails("provider_billing", omni("budget_exceeded")),
        },
        unknown=("dreaming", Response(omni("dreaming"))),
        cancel=("POST", "/v1beta/interactions/t1/cancel"),
        options={"store": False, "x_new": 7},
        **GOOGLE,
    ),
    ApiCase(
        family="ideogram",
        route="ideogram",
        model="ideogram/ideogram-v3",
        ends={
            "done": done({"data": [{"url": IMAGE_URL, "is_image_safe": True, "seed": 5, "prompt": "p"}]}),
            "unsafe": fails("moderation_blocked", {"data": [{"url": None, "is_image_safe": False}]}),
            "nothing": fails("provider_bad_response", {"data": []}),
        },
        free=lambda status, _body: status in {500, 503},
    ),
    ApiCase(
        family="ideogram",
        route="ideogram",
        model="ideogram/ideogram-v4.5",
        accepted=Response({"generation_id": "t1"}),
        working=(Response({"status": "pending"}),),
        ends={
            "done": done({"status": "completed", "data": [{"url": IMAGE_URL, "is_image_safe": True}]}),
            "failed": fails("provider_error", {"status": "failed"}),
        },
        unknown=("paused", Response({"status": "paused"})),
        free=lambda status, _body: status in {500, 503},
    ),
    ApiCase(
        family="openai",
        route="openai",
        model="openai/gpt-image-2",
        ends={
            "done": done({"created": 1, "data": [{"b64_json": B64}], "usage": {"total_tokens": 5}}),
            "url": done({"data": [{"url": IMAGE_URL}]}),
            "nothing": fails("provider_error", {"data": []}),
        },
        coded=openai_error,
        free=lambda status, _body: status == 503,
    ),
    ApiCase(
        family="openai",
        route="openai",
        model="openai/gpt-image-2",
        ends={
            "done": done(events(PARTIAL, COMPLETED)),
            "nothing": fails("provider_error", events(PARTIAL)),
            "error": fails(
                "moderation_blocked",
                events(
                    PARTIAL,
                    {"error": {"code": "moderation_blocked", "moderation_details": {"moderation_stage": "output"}}},
                ),
            ),
        },
        coded=openai_error,
        free=lambda status, _body: status == 503,
        fields={"partial_images": 1},
    ),
    ApiCase(
        family="recraft",
        route="recraft",
        model="recraft/recraft-v3",
        ends={
            "done": done({"data": [{"url": IMAGE_URL}], "credits": 40}),
            "base64": done({"data": [{"b64_json": B64}]}),
            "single image": done({"image": {"url": IMAGE_URL}}),
            "nothing": fails("provider_bad_response", {"data": []}),
        },
        defaults=frozenset({"strength"}),
        worded={
            "refused content": Response(b"the request was rejected: NSFW content", 400),
            "no units": Response(b"not enough credits", 400),
        },
    ),
    ApiCase(unknown=("MAYBE", Response(stability(finish_reason="MAYBE"))), **STABILITY),
    ApiCase(
        accepted=Response({"id": "t1"}),
        working=(Response({"id": "t1", "status": "in-progress"}, 202),),
        unknown=("paused", Response({"id": "t1", "status": "paused"}, 202)),
        **STABILITY,
    ),
    ApiCase(
        family="stability",
        route="replicate",
        model="stability-ai/sdxl",
        accepted=Response({"id": "t1", "status": "starting"}, 201),
        working=(Response({"id": "t1", "status": "starting"}), Response({"id": "t1", "status": "processing"})),
        ends={
            "done": done({"id": "t1", "status": "succeeded", "output": [IMAGE_URL]}),
            "no output": fails("provider_bad_response", {"status": "succeeded", "output": None}),
            "failed": fails("provider_error", {"status": "failed", "error": "CUDA"}),
            "refused": fails("moderation_blocked", {"status": "failed", "error": "NSFW content detected"}),
            "canceled": fails("cancelled", {"status": "canceled"}),
            "aborted": fails("provider_timeout", {"status": "aborted"}, may_be_billed=False),
        },
        unknown=("paused", Response({"status": "paused"})),
        cancel=("POST", "/v1/predictions/t1/cancel"),
        coded=lambda code: Response({"title": code, "detail": "m", "status": 422}, 422),
        under="input",
        free=lambda status, body: status != 504 and not (isinstance(body, dict) and body.get("id")),
    ),
    ApiCase(family="stability", model="stability-ai/sdxl", **FAL),
    ApiCase(
        family="stability",
        route="automatic1111",
        model="stability-ai/sdxl",
        ends={
            "done": done({"images": [B64], "info": json.dumps({"all_seeds": [5]}), "parameters": {}}),
            "nothing": fails("provider_error", {"images": [], "info": "{}"}),
        },
        coded=lambda code: Response({"detail": code}, 404),
        free=lambda _status, _body: True,
        defaults=frozenset({"steps"}),
    ),
)
