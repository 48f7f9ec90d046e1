// @ts-check
/** Facts of a job of `GET /v1/jobs`, as the history shows them. */

import { costText } from "./money.js";

/** @typedef {{url?: string, b64_json?: string, media_type?: string, width?: number, height?: number, seed?: number, revised_prompt?: string}} Artifact */

/**
 * Job of the API.
 * @typedef {object} Job
 * @property {string} id
 * @property {string} type `image.generation`, `image.edit` or `video.generation`.
 * @property {string} status
 * @property {string} model
 * @property {string} [provider]
 * @property {number} created_at Unix seconds, as all times.
 * @property {number} [started_at]
 * @property {number} [completed_at]
 * @property {number} [expires_at]
 * @property {number} [erased_at]
 * @property {number} [progress]
 * @property {number} [queue_position]
 * @property {{data?: Artifact[]}} [result]
 * @property {Artifact[]} [partial_images]
 * @property {{message: string, code?: string, param?: string}} [error]
 * @property {{code: string, message: string}[]} [warnings]
 * @property {import("./money.js").Cost} [cost]
 * @property {Record<string, any>} [request]
 */

/** Parameters that are no setting of the model, or have a place of their own. */
const NO_SETTINGS = new Set(["prompt", "n", "user"]);

/** @param {Job} job */
export function isUnfinished(job) {
  return job.status === "queued" || job.status === "running";
}

/**
 * Return the job's prompt, or why it is missing.
 * @param {Job} job
 */
export function promptText(job) {
  if (job.erased_at) return "Erased";
  return job.request?.prompt || "No prompt";
}

/**
 * Return the job's status in words.
 * @param {Job} job
 */
export function statusText(job) {
  if (job.status === "queued") return job.queue_position === undefined ? "Queued" : `Queued, ${job.queue_position} ahead`;
  if (job.status === "running") return job.progress === undefined ? "Running" : `Running, ${job.progress} %`;
  return job.status.charAt(0).toUpperCase() + job.status.slice(1);
}

/**
 * Return why a completed job shows no media. Empty: its media are there.
 * @param {Job} job
 * @param {number} now Unix seconds.
 */
export function absenceText(job, now) {
  if (job.status !== "completed" || job.result?.data?.length) return "";
  if (job.erased_at) return "Prompt, inputs and media are erased.";
  if (job.expires_at && job.expires_at <= now) return "The retention of the media has ended.";
  return "The media are no longer kept.";
}

/**
 * Return the settings that the request named, as pairs of name and value.
 * @param {Job} job
 * @returns {[string, string][]}
 */
export function settingsOf(job) {
  return Object.entries(job.request ?? {})
    .filter(([name, value]) => !NO_SETTINGS.has(name) && value !== "" && value !== null)
    .map(([name, value]) => [name.replaceAll("_", " "), String(value)]);
}

/**
 * Return duration, cost and number of images in a few words each.
 * @param {Job} job
 */
export function summaryOf(job) {
  const count = job.result?.data?.length ?? 0;
  const video = job.type === "video.generation";
  return [
    count > 1 && `${count} ${video ? "videos" : "images"}`,
    job.started_at && job.completed_at && durationText(job.completed_at - job.started_at),
    costText(job.cost),
  ].filter((text) => typeof text === "string" && text !== "");
}

/**
 * Return a duration as text.
 * @param {number} seconds
 */
export function durationText(seconds) {
  if (seconds < 1) return "under 1 s";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/**
 * Return the request that makes the same images again: model, operation and fields. Undefined: the prompt is not kept.
 * @param {Job} job
 * @returns {{operation: "generations" | "edits", model: string, fields: Record<string, any>} | undefined}
 */
export function repeatOf(job) {
  if (job.erased_at || !job.request) return undefined;
  const operation = job.type === "image.edit" ? "edits" : "generations";
  return { operation, model: job.model, fields: { ...job.request } };
}

/**
 * Return True when a signed link is expired, or will be within a minute.
 * @param {string} url
 * @param {number} now Unix seconds.
 */
export function isExpired(url, now) {
  const expires = new URL(url, "http://localhost").searchParams.get("exp");
  return expires !== null && Number(expires) <= now + 60;
}

/**
 * Return the file name of a download.
 * @param {Job} job
 * @param {number} index
 */
export function fileName(job, index) {
  const artifact = job.result?.data?.[index];
  const path = artifact?.url ? new URL(artifact.url, "http://localhost").pathname : "";
  const extension = path.includes(".") ? path.slice(path.lastIndexOf(".")) : "";
  return `${job.id}-${index}${extension}`;
}

/**
 * Return the query of a page of jobs.
 * @param {{status?: string, model?: string}} filters
 * @param {string} token `next_page_token` of the previous page; empty for the first one.
 * @param {number} size
 */
export function jobsQuery(filters, token, size) {
  const query = new URLSearchParams({ page_size: String(size) });
  if (filters.status) query.set("status", filters.status);
  if (filters.model) query.set("model", filters.model);
  if (token) query.set("page_token", token);
  return `/v1/jobs?${query}`;
}
