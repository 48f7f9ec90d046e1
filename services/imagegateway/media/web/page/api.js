// @ts-check
/** The only door to the API: calls, errors, event streams, and the key that they carry. */

import { EventParser } from "./sse.js";

/** Error of a call: the API's own, or a lost connection (`status` 0, `code` "unreachable"). */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string | null, param?: string | null, requestId?: string | null,
   *   retryAfter?: number}} [facts] `retryAfter` in seconds
   */
  constructor(message, { status = 0, code = null, param = null, requestId = null, retryAfter = 0 } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.param = param;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }

  /** Return whether the connection broke: the gateway may have received the call. */
  get unreachable() {
    return this.status === 0;
  }
}

/**
 * @typedef {object} CallOptions
 * @property {string} [method]
 * @property {FormData | object} [body] an object is sent as JSON
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

/**
 * Call the API with the key. Return status, headers and parsed body.
 *
 * Throws ApiError, and AbortError when `signal` aborts.
 * @param {string} path @param {CallOptions} [options]
 * @returns {Promise<{status: number, headers: Headers, body: any}>}
 */
export async function call(path, options = {}) {
  const response = await send(path, options);
  const body = await reading(response.json().catch(ifEmpty));
  return { status: response.status, headers: response.headers, body };
}

/**
 * Return the bytes at a signed link, whose host may be another name of this gateway.
 * @param {string} url @param {AbortSignal} [signal]
 * @returns {Promise<Blob>}
 */
export async function download(url, signal) {
  const link = new URL(url, location.href);
  const target = link.protocol.startsWith("http") ? link.pathname + link.search : url;
  const response = await send(target, { signal });
  return reading(response.blob());
}

/**
 * Yield the events of a stream until it ends, with `data` parsed as JSON.
 *
 * Throws ApiError, and AbortError when `signal` aborts. `lastEventId` resumes after an earlier event.
 * @param {string} path @param {{signal?: AbortSignal, lastEventId?: string}} [options]
 * @returns {AsyncGenerator<{id: string, event: string, data: any}>}
 */
export async function* events(path, { signal, lastEventId } = {}) {
  const headers = { Accept: "text/event-stream", ...(lastEventId ? { "Last-Event-ID": lastEventId } : {}) };
  const response = await send(path, { headers, signal });
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const parser = new EventParser();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reading(reader.read());
      if (done) return;
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        yield { ...event, data: JSON.parse(event.data) };
      }
    }
  } finally {
    await reader.cancel().catch(() => {});  // a broken stream can't be cancelled
  }
}

/** @param {string} path @param {CallOptions} options @returns {Promise<Response>} */
async function send(path, { method = "GET", body, headers = {}, signal }) {
  const form = body instanceof FormData;
  /** @type {Record<string, string>} */
  const own = key() ? { Authorization: `Bearer ${key()}` } : {};
  if (body && !form) own["Content-Type"] = "application/json";
  const response = await reading(
    fetch(path, { method, headers: { ...own, ...headers }, body: form || !body ? body : JSON.stringify(body), signal }),
  );
  if (response.ok) return response;
  const parsed = await response.json().catch(() => null);
  throw refusal(response, parsed?.error);
}

/** @param {Response} response @param {any} error @returns {ApiError} */
function refusal(response, error) {
  return new ApiError(error?.message || `The gateway answered ${response.status}.`, {
    status: response.status,
    code: error?.code,
    param: error?.param,
    requestId: response.headers.get("x-request-id"),
    retryAfter: Number(response.headers.get("retry-after")) || 0,
  });
}

/**
 * Await a step of a transfer. Throws ApiError when the connection breaks.
 * @template T @param {Promise<T>} step @returns {Promise<T>}
 */
async function reading(step) {
  try {
    return await step;
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError("The gateway can't be reached.", { code: "unreachable" });
    throw error;
  }
}

/** @param {unknown} error @returns {null} */
function ifEmpty(error) {
  if (error instanceof SyntaxError) return null;
  throw error;
}

const KEY = "imagegateway.key";

/** Return the key of this tab, or an empty string. */
export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

/**
 * Keep a key for this tab; an empty string forgets the key.
 * @param {string} value
 */
export function setKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}
