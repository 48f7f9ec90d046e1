// OpenAI's Node SDK with models that the provider answers as jobs.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import OpenAI, { toFile } from "openai";

import { apiKey, assertImage, baseURL, endedJob, failure, file, get, prompt } from "./gateway.mjs";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const slow = "bfl/flux-2-pro";
const input = () => toFile(file("input.png"), "input.png", { type: "image/png" });

async function assertLinks(answer, count) {
  assert.equal(answer.data.length, count);
  for (const item of answer.data) assertImage(await (await fetch(item.url)).arrayBuffer());
}

test("generate with a slow model returns its image", async () => {
  await assertLinks(await client.images.generate({ model: slow, prompt }), 1);
});

test("generate several with a slow model returns all of them", async () => {
  const answer = await client.images.generate({ model: slow, prompt, n: 3 });
  await assertLinks(answer, 3);
  assert.equal(new Set(answer.data.map((item) => item.url)).size, 3);
});

test("edit with a slow model returns its image", async () => {
  await assertLinks(await client.images.edit({ model: slow, prompt, image: await input() }), 1);
});

test("stream of a slow model ends with the image", async () => {
  const types = [];
  for await (const event of await client.images.generate({ model: slow, prompt, stream: true })) {
    types.push(event.type);
    assertImage(Buffer.from(event.b64_json, "base64"));
  }
  assert.deepEqual(types, ["image_generation.completed"]);
});

test("a stated preference returns a job", async () => {
  const sent = client.images.generate({ model: slow, prompt }, { headers: { Prefer: "respond-async" } });
  const response = await sent.asResponse();
  assert.equal(response.status, 202);
  assert.equal((await response.json()).object, "job");
});

test("OpenAI's own name returns b64_json, the gateway's id a link", async () => {
  const [own] = (await client.images.generate({ model: "gpt-image-2", prompt })).data;
  assertImage(Buffer.from(own.b64_json, "base64"));
  const [linked] = (await client.images.generate({ model: "openai/gpt-image-2", prompt })).data;
  assert.ok(linked.url);
  assert.equal(linked.b64_json, undefined);
});

test("abort ends the call, and its job goes on to the end", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 200);
  const mark = `abort-${process.pid}`;
  const error = await failure(
    client.images.generate({ model: slow, prompt, metadata: { mark } }, { signal: controller.signal }),
  );
  assert.ok(error instanceof OpenAI.APIUserAbortError);
  assert.equal((await endedJob(mark)).status, "completed");
});

test("abort of a stream leaves its job to the end", async () => {
  const mark = `abort-stream-${process.pid}`;
  const stream = await client.images.generate({ model: slow, prompt, stream: true, metadata: { mark } });
  stream.controller.abort();
  assert.equal((await endedJob(mark)).status, "completed");
});

test("webhooks.unwrap verifies the end of a job", async () => {
  const server = createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      response.end();
      server.emit("delivery", Buffer.concat(pieces).toString(), request.headers);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const delivery = once(server, "delivery");
    await client.images.generate({ model: slow, prompt, webhook_url: `http://127.0.0.1:${server.address().port}/` });
    const [body, headers] = await delivery;
    const { secret } = await get("/v1/webhook-secret");
    const event = await client.webhooks.unwrap(body, headers, secret);
    assert.equal(event.type, "job.completed");
    assert.equal(event.data.model, slow);
    await failure(client.webhooks.unwrap(body.replace("completed", "cancelled"), headers, secret));
  } finally {
    server.close();
  }
});
