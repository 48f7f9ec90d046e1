// @ts-check
/** Facts of an API key of `GET /v1/admin/keys` as text. */

import { amountText } from "./money.js";

/**
 * @typedef {object} GatewayKey
 * @property {string} id
 * @property {string} tenant
 * @property {string} [name]
 * @property {string} [key] Secret, when the key is created.
 * @property {string[]} [scopes]
 * @property {string[]} [models]
 * @property {number} [requests_per_minute]
 * @property {number} [images_per_minute]
 * @property {number} [concurrent_jobs]
 * @property {number} [budget] US dollars.
 * @property {string} [budget_period]
 * @property {number} [spent] US dollars.
 * @property {number} [expires_at] Unix seconds, as all times.
 * @property {number} [last_used_at]
 * @property {number} [revoked_at]
 */

export const SCOPES = ["generate", "edit", "video", "read", "admin"];

/** @type {Record<string, string>} */
const PERIODS = { day: "a day", month: "a month", total: "in total" };

/**
 * Return the limits of a key in words.
 * @param {GatewayKey} key
 */
export function limitsText(key) {
  const limits = [
    key.requests_per_minute !== undefined && `${key.requests_per_minute} requests a minute`,
    key.images_per_minute !== undefined && `${key.images_per_minute} images a minute`,
    key.concurrent_jobs !== undefined && `${key.concurrent_jobs} jobs at once`,
    key.models?.length && key.models.join() !== "*" && `models ${key.models.join(", ")}`,
  ];
  return limits.filter(Boolean).join(", ") || "none";
}

/**
 * Return the budget of a key in words.
 * @param {GatewayKey} key
 */
export function budgetText(key) {
  if (key.budget === undefined) return "none";
  return `${amountText(key.spent ?? 0)} of ${amountText(key.budget)} ${PERIODS[key.budget_period ?? "month"] ?? ""}`.trim();
}

/**
 * Return the state of a key: active, expired or revoked.
 * @param {GatewayKey} key @param {number} now Unix seconds.
 */
export function keyState(key, now) {
  if (key.revoked_at !== undefined) return "revoked";
  return key.expires_at !== undefined && key.expires_at <= now ? "expired" : "active";
}

/**
 * Return the body of a request that creates a key, from the fields of the form. Empty fields are left out.
 * @param {FormData} form
 */
export function keyRequest(form) {
  /** @type {Record<string, any>} */
  const body = { scopes: form.getAll("scopes").map(String) };
  for (const name of ["tenant", "name", "expires"]) {
    const value = String(form.get(name) ?? "").trim();
    if (value) body[name] = value;
  }
  for (const name of ["requests_per_minute", "images_per_minute", "concurrent_jobs", "budget"]) {
    const value = String(form.get(name) ?? "").trim();
    if (value) body[name] = Number(value);
  }
  if (body.budget !== undefined) body.budget_period = String(form.get("budget_period"));
  const models = String(form.get("models") ?? "").split(",").map((pattern) => pattern.trim()).filter(Boolean);
  if (models.length) body.models = models;
  return body;
}
