// @ts-check
/** Plans of calls by `Prefer: dry-run`: model, warnings and expected cost, without a job or a bill. */

import { ApiError, call } from "./api.js";

/**
 * Plan of a call.
 * @typedef {object} Plan
 * @property {string} model Id of the model that would serve.
 * @property {string} [size]
 * @property {number} [n]
 * @property {import("./money.js").Cost} [estimated_cost] Unset: the price is unknown.
 * @property {{code: string, message: string, param?: string}[]} [warnings]
 */

const ANY_PROMPT = "an image";
/** An image of 64 × 64 pixels, for the plan of an edit without inputs. */
const ANY_IMAGE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQAAAACCEkxzAAAAD0lEQVR42mNgGAWjgHwAAAJAAAHgTR1EAAAAAElFTkSuQmCC";

/**
 * Return the plan of a call. Throws ApiError with the reason when the gateway would refuse it.
 * @param {string} path @param {FormData | object} body @param {AbortSignal} [signal] @param {Record<string, string>} [headers]
 * @returns {Promise<Plan>}
 */
export async function planOf(path, body, signal, headers = {}) {
  return (await call(path, { method: "POST", body, headers: { ...headers, Prefer: "dry-run" }, signal })).body;
}

/**
 * Return the id of the model that serves calls which name none. Empty: the key may use none.
 * @param {import("./models.js").Task} task
 */
export async function defaultModel(task) {
  const edits = task === "edit";
  const body = { prompt: ANY_PROMPT, ...(edits ? { image_url: ANY_IMAGE } : {}) };
  try {
    return (await planOf(`/v1/images/${edits ? "edits" : "generations"}`, body)).model;
  } catch (error) {
    if (error instanceof ApiError) return "";
    throw error;
  }
}
