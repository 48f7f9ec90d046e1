// Vercel's AI SDK, which reads `b64_json` only and asks for it only where OpenAI's own ids don't imply it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateImage } from "ai";

import { apiKey, assertImage, baseURL, failure, file, get, prompt } from "./gateway.mjs";

const openai = createOpenAI({ baseURL, apiKey });
const generate = (model, fields = {}) => generateImage({ model: openai.image(model), prompt, maxRetries: 0, ...fields });

function assertImages(result, count) {
  assert.equal(result.images.length, count);
  for (const image of result.images) assertImage(image.uint8Array);
  const { inputTokens, outputTokens, totalTokens } = result.usage;
  if (totalTokens !== undefined) assert.equal(totalTokens, inputTokens + outputTokens);
}

for (const model of [
  "gpt-image-2",
  "gpt-image-2.6-flare",
  "openai/gpt-image-2",
  "bfl/flux-2-pro",
  "bytedance/seedream-4.5",
  "google/gemini-2.5-flash-image",
  "google/imagen-4",
  "local/sketch",
]) {
  test(`generateImage with ${model} returns one image`, async () => assertImages(await generate(model), 1));
}

test("generateImage with n returns several images of one call", async () => {
  const result = await generate("gpt-image-2", { n: 3, size: "1024x1024" });
  assertImages(result, 3);
  assert.equal(result.responses.length, 1);
});

test("generateImage passes the options of OpenAI's models", async () => {
  const result = await generate("gpt-image-2.6-flare", {
    providerOptions: { openai: { quality: "xhigh", outputFormat: "webp", background: "opaque", complexity: "low" } },
  });
  assertImages(result, 1);
  const [facts] = result.providerMetadata.openai.images;
  assert.deepEqual([facts.quality, facts.outputFormat, facts.background], ["xhigh", "webp", "opaque"]);
});

test("generateImage edits an image with a mask", async () => {
  const edit = { images: [file("input.png")], text: prompt, mask: file("mask.png") };
  assertImages(await generate("gpt-image-2", { prompt: edit }), 1);
});

test("generateImage edits two images", async () => {
  assertImages(await generate("gpt-image-2", { prompt: { images: [file("input.png"), file("input.png")], text: prompt } }), 1);
});

test("abort ends the call, and its job goes on", async () => {
  const before = (await get("/v1/jobs")).data[0]?.id;
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 200);
  const error = await failure(generate("bfl/flux-2-pro", { abortSignal: controller.signal }));
  assert.equal(error.name, "AbortError");
  const [job] = (await get("/v1/jobs")).data;
  assert.notEqual(job.id, before);
  assert.notEqual(job.status, "cancelled");
});

test("error is an APICallError with the gateway's status and message", async () => {
  const error = await failure(generate("local/skech"));
  assert.ok(APICallError.isInstance(error));
  assert.deepEqual([error.statusCode, error.isRetryable, error.data.error.code], [404, false, "model_not_found"]);
});

test("error of a bad key is an APICallError", async () => {
  const stranger = createOpenAI({ baseURL, apiKey: "wrong" });
  const error = await failure(generateImage({ model: stranger.image("gpt-image-2"), prompt, maxRetries: 0 }));
  assert.deepEqual([error.statusCode, error.isRetryable, error.data.error.code], [401, false, "invalid_api_key"]);
});
