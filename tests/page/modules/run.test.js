// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "../../../services/imagegateway/media/web/page/api.js";
import { Run } from "../../../services/imagegateway/media/web/page/run.js";

const REQUEST = { path: "/v1/images/generations", body: () => ({ prompt: "a fox" }) };
const LOST = new ApiError("The gateway can't be reached.", { code: "unreachable" });

/** @param {string} status @param {object} [facts] @returns {any} */
function job(status, facts = {}) {
  return { id: "job_1", object: "job", type: "image.generation", model: "a/b", created_at: 1, status, ...facts };
}

/**
 * Gateway that answers in order: each answer is a body, or an error to throw; each stream a list of events and errors.
 * @param {any[]} answers @param {any[][]} [streams]
 */
function gateway(answers, streams = []) {
  /** @type {any[]} */
  const calls = [];
  /** @type {number[]} */
  const pauses = [];
  return {
    calls,
    pauses,
    call: async (/** @type {string} */ path, /** @type {any} */ options) => {
      calls.push({ path, ...options });
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return { status: 202, headers: new Headers(), body: answer };
    },
    events: async function* (/** @type {string} */ path, /** @type {any} */ options) {
      calls.push({ path, ...options });
      for (const event of streams.shift() ?? []) {
        if (event instanceof Error) throw event;
        yield event;
      }
    },
    sleep: async (/** @type {number} */ milliseconds) => void pauses.push(milliseconds),
  };
}

/** @param {number} id @param {any} data */
function event(id, data) {
  return { id: String(id), event: `job.${data.status}`, data };
}

test("a submission over a broken connection repeats the same idempotency key", async () => {
  const door = gateway([LOST, new ApiError("busy", { status: 503, retryAfter: 2 }), job("queued")]);
  const run = new Run(REQUEST, door);
  await run.submit();
  assert.equal(new Set(door.calls.map(({ headers }) => headers["Idempotency-Key"])).size, 1);
  assert.match(door.calls[0].headers["Idempotency-Key"], /^[0-9a-f]{32}$/);
  assert.equal(door.calls[0].headers.Prefer, "respond-async");
  assert.deepEqual(door.pauses, [500, 2000]);
  assert.equal(run.job?.status, "queued");
});

test("a refusal is not repeated, and ends the run", async () => {
  for (const status of [400, 401, 402, 403, 404, 422, 429]) {
    const door = gateway([new ApiError("no", { status, param: "size" })]);
    const run = new Run(REQUEST, door);
    await assert.rejects(run.submit(), { param: "size" });
    assert.equal(door.calls.length, 1);
    assert.equal(run.ended, true);
  }
});

test("two runs have two idempotency keys", () => {
  assert.notEqual(new Run(REQUEST, gateway([])).idempotencyKey, new Run(REQUEST, gateway([])).idempotencyKey);
});

test("a broken event stream is resumed after the last event", async () => {
  const door = gateway([job("queued")], [
    [event(5, job("running")), LOST],
    [event(6, job("running", { progress: 50 }))],
    [event(7, job("completed"))],
  ]);
  const run = new Run(REQUEST, door);
  await run.submit();
  /** @type {boolean[]} */
  const connections = [];
  run.subscribe(() => connections.push(run.reconnecting));
  await run.follow();
  assert.deepEqual(door.calls.slice(1).map(({ lastEventId }) => lastEventId), ["", "5", "6"]);
  assert.deepEqual(connections, [false, true, false, false]);
  assert.equal(run.job?.status, "completed");
});

test("a job that can't be read ends the run with the error", async () => {
  const run = new Run(REQUEST, gateway([job("queued")], [[new ApiError("gone", { status: 404 })]]));
  await run.submit();
  await run.follow();
  assert.equal(run.error?.status, 404);
});

test("an ended job stays as it ended", async () => {
  const run = new Run(REQUEST, gateway([job("running"), job("cancelled")]));
  await run.submit();
  await run.cancel();
  run.change({ job: job("running") });
  assert.equal(run.job?.status, "cancelled");
});

test("a cancellation before the job exists follows its submission", async () => {
  const door = gateway([LOST, job("queued"), job("cancelled")]);
  const run = new Run(REQUEST, door);
  door.sleep = () => run.cancel();
  await run.submit();
  assert.equal(door.calls.at(-1).path, "/v1/jobs/job_1/cancel");
  assert.equal(run.job?.status, "cancelled");
});

test("a run beyond four event streams polls its job", async () => {
  /** @type {(value?: unknown) => void} */
  let end = () => {};
  const held = new Promise((resolve) => (end = resolve));
  const streaming = Array.from({ length: 4 }, () => {
    const door = gateway([job("queued")]);
    door.events = async function* () {
      await held;
      yield event(1, job("completed"));
    };
    return new Run(REQUEST, door);
  });
  for (const run of streaming) await run.submit();
  const following = streaming.map((run) => run.follow());

  const door = gateway([job("queued"), job("running", { progress: 50 }), job("completed")]);
  const fifth = new Run(REQUEST, door);
  await fifth.submit();
  await fifth.follow();
  assert.deepEqual(door.calls.slice(1).map(({ path }) => path), ["/v1/jobs/job_1", "/v1/jobs/job_1"]);
  assert.deepEqual(door.pauses, [2000, 2000]);
  assert.equal(fifth.job?.status, "completed");
  end();
  await Promise.all(following);
});
