// What the suites of this folder share. GATEWAY_URL and GATEWAY_KEY say where the gateway is; GATEWAY_FILES is a folder
// with input.png (96x64) and mask.png (96x64, its left half transparent).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const { GATEWAY_URL: url, GATEWAY_KEY: apiKey } = process.env;
export const baseURL = `${url}/v1`;
export const prompt = "a red kite over hills";

const ENDED = new Set(["completed", "failed", "cancelled"]);
const JOB_SECONDS = 30;

export const file = (name) => readFileSync(join(process.env.GATEWAY_FILES, name));

// Return the error of a promise that must be rejected.
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("an error was expected");
}

// Fail unless the bytes are those of a PNG, JPEG or WebP.
export function assertImage(bytes) {
  const head = Buffer.from(bytes).subarray(0, 12).toString("latin1");
  assert.ok(head.startsWith("\x89PNG") || head.startsWith("\xff\xd8\xff") || head.includes("WEBP"), head);
}

export async function get(path) {
  const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${apiKey}` } });
  assert.equal(response.status, 200);
  return response.json();
}

// Return a job by its metadata once it has ended.
export async function endedJob(mark) {
  for (const started = Date.now(); Date.now() - started < JOB_SECONDS * 1000; await sleep(100)) {
    const { data } = await get("/v1/jobs");
    const job = data.find((found) => found.metadata?.mark === mark);
    if (ENDED.has(job?.status)) return job;
  }
  assert.fail(`the job ${mark} has not ended after ${JOB_SECONDS} s`);
}
