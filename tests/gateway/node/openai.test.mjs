// OpenAI's Node SDK, unchanged but for base URL and key, against a running stack.
// GATEWAY_URL and GATEWAY_KEY say where it is; GATEWAY_FILES is a folder with input.png (96x64), mask.png (96x64),
// small-mask.png (64x64) and large.png (one byte over the limit); GATEWAY_REASONS holds the rows of reasons.toml.

import assert from "node:assert/strict";
import { createReadStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import OpenAI, { toFile } from "openai";

const { GATEWAY_URL: url, GATEWAY_KEY: apiKey, GATEWAY_FILES: files } = process.env;
const reasons = JSON.parse(process.env.GATEWAY_REASONS);
const model = "local/sketch";
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const CLASSES = {
  400: OpenAI.BadRequestError,
  401: OpenAI.AuthenticationError,
  403: OpenAI.PermissionDeniedError,
  404: OpenAI.NotFoundError,
  422: OpenAI.UnprocessableEntityError,
  429: OpenAI.RateLimitError,
};

const path = (name) => join(files, name);
const open = (name) => createReadStream(path(name));

// Width and height of a PNG, by its header.
function sizeOf(base64) {
  const data = Buffer.from(base64, "base64");
  assert.equal(data.subarray(1, 4).toString(), "PNG");
  return `${data.readUInt32BE(16)}x${data.readUInt32BE(20)}`;
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("an error was expected");
}

test("generate returns links that can be read without a key", async () => {
  const answer = await client.images.generate({ model, prompt: "a boat", size: "256x256" });
  assert.ok(answer.created > 1_700_000_000);
  const linked = await fetch(answer.data[0].url);
  assert.equal(linked.headers.get("content-type"), "image/png");
  assert.equal(sizeOf(Buffer.from(await linked.arrayBuffer())), "256x256");
});

test("generate returns bytes", async () => {
  const answer = await client.images.generate({
    model, prompt: "a boat", size: "256x256", response_format: "b64_json", seed: 5,
  });
  assert.equal(sizeOf(answer.data[0].b64_json), "256x256");
  assert.equal(answer.data[0].seed, 5);
});

for (const response_format of ["url", "b64_json"]) {
  test(`generate three as ${response_format} returns three different images`, async () => {
    const answer = await client.images.generate({ model, prompt: "a boat", size: "256x256", n: 3, response_format });
    assert.equal(new Set(answer.data.map((item) => item[response_format])).size, 3);
  });
}

test("generate as a stream sends partials before the image", async () => {
  const stream = await client.images.generate({
    model, prompt: "a boat", size: "256x256", stream: true, partial_images: 2,
  });
  const events = [];
  for await (const event of stream) events.push(event);
  assert.deepEqual(events.map((event) => event.type), [
    "image_generation.partial_image",
    "image_generation.partial_image",
    "image_generation.completed",
  ]);
  for (const event of events) assert.equal(sizeOf(event.b64_json), "256x256");
});

test("generate as a stream that fails on the way throws", async () => {
  const stream = await client.images.generate({
    model, prompt: "a boat", size: "256x256", stream: true, partial_images: 1,
    provider_options: { delay: 0.5, steps: 1000, fail: "provider_error" },
  });
  const error = await failure((async () => { for await (const _ of stream); })());
  assert.ok(error instanceof OpenAI.APIError);
  assert.equal(error.code, "provider_error");
});

test("edit of one file", async () => {
  const answer = await client.images.edit({
    model, prompt: "at night", image: open("input.png"), response_format: "b64_json",
  });
  assert.equal(sizeOf(answer.data[0].b64_json), "96x64");
});

test("edit of a list of files with a mask", async () => {
  const answer = await client.images.edit({
    model, prompt: "at night", image: [open("input.png"), open("input.png")], mask: open("mask.png"),
    response_format: "b64_json", n: 2,
  });
  assert.deepEqual(answer.data.map((item) => sizeOf(item.b64_json)), ["96x64", "96x64"]);
});

test("edit of a buffer and of a web File", async () => {
  const data = readFileSync(path("input.png"));
  for (const image of [await toFile(data, "input.png", { type: "image/png" }), new File([data], "input")]) {
    const answer = await client.images.edit({ model, prompt: "at night", image, response_format: "b64_json" });
    assert.equal(sizeOf(answer.data[0].b64_json), "96x64");
  }
});

test("edit as a stream sends partials before the image", async () => {
  const stream = await client.images.edit({
    model, prompt: "at night", image: open("input.png"), stream: true, partial_images: 1,
  });
  const types = [];
  for await (const event of stream) types.push(event.type);
  assert.deepEqual(types, ["image_edit.partial_image", "image_edit.completed"]);
});

for (const { code, http, type, wait } of reasons) {
  test(`error ${code} throws the SDK's class`, async () => {
    const error = await failure(
      client.images.generate({ model, prompt: "a boat", provider_options: { fail: code } }),
    );
    const expected = http >= 500 ? OpenAI.InternalServerError : (CLASSES[http] ?? OpenAI.APIError);
    assert.equal(error.constructor, expected);
    assert.deepEqual([error.status, error.code, error.type, error.param], [http, code, type, null]);
    assert.ok(error.message.includes(code === "moderation_blocked" ? "content policy" : code));
    assert.ok(error.requestID);
    assert.equal(error.headers.has("retry-after"), wait);
  });
}

test("error of a field names it", async () => {
  const error = await failure(client.images.generate({ model, prompt: "a boat", n: 11 }));
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.deepEqual([error.code, error.param], ["invalid_value", "n"]);
});

test("error of an upload names the field", async () => {
  const error = await failure(client.images.edit({
    model, prompt: "at night", image: open("input.png"), mask: open("small-mask.png"),
  }));
  assert.deepEqual([error.status, error.code, error.param], [400, "invalid_image", "mask"]);
});

test("error of a file too large reaches the SDK", async () => {
  const error = await failure(client.images.edit({ model, prompt: "at night", image: open("large.png") }));
  assert.deepEqual([error.status, error.code, error.param], [413, "file_too_large", "image"]);
});

test("error of a bad key and of an unknown model", async () => {
  const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "wrong", maxRetries: 0 });
  const refused = await failure(stranger.models.list());
  assert.ok(refused instanceof OpenAI.AuthenticationError);
  assert.equal(refused.code, "invalid_api_key");
  const unknown = await failure(client.images.generate({ model: "local/skech", prompt: "a boat" }));
  assert.ok(unknown instanceof OpenAI.NotFoundError);
  assert.deepEqual([unknown.code, unknown.param], ["model_not_found", "model"]);
});

for (const [code, times] of [["provider_error", 1], ["provider_timeout", 1], ["overloaded", 2]]) {
  test(`error ${code} makes the SDK send ${times} times`, async () => {
    let calls = 0;
    const counting = new OpenAI({
      baseURL: `${url}/v1`, apiKey, maxRetries: 1,
      fetch: (...request) => { calls += 1; return fetch(...request); },
    });
    await failure(counting.images.generate({ model, prompt: "a boat", provider_options: { fail: code } }));
    assert.equal(calls, times);
  });
}

test("models are listed and retrieved", async () => {
  const listed = [];
  for await (const item of client.models.list()) listed.push(item.id);
  assert.ok(listed.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
});
