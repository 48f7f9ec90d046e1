// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  absenceText, durationText, fileName, isExpired, jobsQuery, promptText, repeatOf, settingsOf, statusText, summaryOf,
} from "../../../services/imagegateway/media/web/page/job_facts.js";

const JOB = {
  id: "job_1",
  type: "image.edit",
  status: "completed",
  model: "local/sketch",
  created_at: 100,
  started_at: 101,
  completed_at: 176,
  expires_at: 1000,
  request: { prompt: "a lake", n: 2, size: "512x512", seed: 7 },
  result: { data: [{ url: "http://gateway/media/d/r/0.webp?exp=500&sig=x" }, { url: "http://gateway/media/d/r/1.webp" }] },
  cost: { amount: 0.08, currency: "USD", estimated: true },
};

test("settings leave out the prompt", () => {
  assert.deepEqual(settingsOf(JOB), [["size", "512x512"], ["seed", "7"]]);
  assert.deepEqual(summaryOf(JOB), ["2 images", "1 min 15 s", "about $0.08"]);
  assert.equal(durationText(0.2), "under 1 s");
});

test("a status names progress and place in the queue", () => {
  assert.equal(statusText({ ...JOB, status: "queued", queue_position: 0 }), "Queued, 0 ahead");
  assert.equal(statusText({ ...JOB, status: "running", progress: 40 }), "Running, 40 %");
  assert.equal(statusText({ ...JOB, status: "cancelled" }), "Cancelled");
});

test("a job without media says why", () => {
  assert.equal(absenceText(JOB, 200), "");
  assert.equal(absenceText({ ...JOB, result: undefined }, 2000), "The retention of the media has ended.");
  assert.equal(absenceText({ ...JOB, result: undefined, erased_at: 5 }, 200), "Prompt, inputs and media are erased.");
});

test("an erased job cannot be repeated, any other keeps its operation and fields", () => {
  assert.equal(repeatOf({ ...JOB, erased_at: 5 }), undefined);
  assert.deepEqual(repeatOf(JOB), { operation: "edits", model: "local/sketch", fields: JOB.request });
  assert.equal(promptText({ ...JOB, erased_at: 5, request: undefined }), "Erased");
});

test("a signed link expires a minute early", () => {
  assert.equal(isExpired("http://gateway/media/0.png?exp=500&sig=x", 439), false);
  assert.equal(isExpired("http://gateway/media/0.png?exp=500&sig=x", 440), true);
  assert.equal(isExpired("blob:http://gateway/1", 440), false);
});

test("a download is named by job, index and format", () => {
  assert.equal(fileName(JOB, 0), "job_1-0.webp");
});

test("the query of a page holds only the filters that are set", () => {
  assert.equal(jobsQuery({}, "", 20), "/v1/jobs?page_size=20");
  assert.equal(
    jobsQuery({ status: "failed", model: "a/b" }, "t=", 20),
    "/v1/jobs?page_size=20&status=failed&model=a%2Fb&page_token=t%3D",
  );
});
