// @ts-check
/** Plans of calls by `Prefer: dry-run`: model, warnings and expected cost, without a job or a bill. */

import { call } from "./api.js";

/**
 * Plan of a call.
 * @typedef {object} Plan
 * @property {string} model Id of the model that would serve.
 * @property {string} [size]
 * @property {number} [n]
 * @property {import("./money.js").Cost} [estimated_cost] Unset: the price is unknown.
 * @property {{code: string, message: string, param?: string}[]} [warnings]
 */

/**
 * Return the plan of a call. Throws ApiError with the reason when the gateway would refuse it.
 * @param {string} path @param {FormData | object} body @param {AbortSignal} [signal] @param {Record<string, string>} [headers]
 * @returns {Promise<Plan>}
 */
export async function planOf(path, body, signal, headers = {}) {
  return (await call(path, { method: "POST", body, headers: { ...headers, Prefer: "dry-run" }, signal })).body;
}
