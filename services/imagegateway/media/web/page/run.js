// @ts-check
/** One call of the API from its start to its end: submitted once, followed over broken connections, cancelled. */

import { ApiError, call, events } from "./api.js";
import { isUnfinished } from "./job_facts.js";

/** @typedef {import("./job_facts.js").Job} Job */

/**
 * @typedef {object} RunRequest
 * @property {string} path such as `/v1/images/generations`
 * @property {() => FormData | object} body makes the body; called again for each attempt
 * @property {Record<string, string>} [headers]
 */

/**
 * @typedef {object} Door parts of `api.js` that a run calls
 * @property {typeof call} call
 * @property {typeof events} events
 * @property {(milliseconds: number) => Promise<void>} sleep
 */

const SUBMIT_ATTEMPTS = 8;
const LONGEST_PAUSE_MS = 10_000;
/** Event streams at once. A browser opens six connections to a server over HTTP/1.1, and other calls need some. */
const MOST_STREAMS = 4;
const POLL_MS = 2000;
/** Present event streams of all runs. */
let streams = 0;
/** Statuses after which the same call may succeed soon. The idempotency key makes a repeat safe. */
const PASSING = new Set([0, 408, 502, 503, 504]);

/** A run of a request. `job` is the newest state; `error` ends a run that has no job, or lost sight of it. */
export class Run {
  /** @param {RunRequest} request @param {Door} [door] */
  constructor(request, door = { call, events, sleep }) {
    this.request = request;
    this.door = door;
    this.startedAt = Date.now();
    this.idempotencyKey = randomKey();
    /** @type {Job | null} */
    this.job = null;
    /** @type {ApiError | null} */
    this.error = null;
    this.reconnecting = false;
    this.isCancelling = false;
    this.failures = 0;
    this.lastEventId = "";
    /** @type {Set<() => void>} */
    this.listeners = new Set();
  }

  /** Return whether nothing more will change. */
  get ended() {
    return this.error !== null || (this.job !== null && !isUnfinished(this.job));
  }

  /** @param {() => void} listener called after each change @returns {() => void} ends this */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Submit the request. Throws ApiError when the gateway refuses it; then no job exists.
   * @returns {Promise<void>}
   */
  async submit() {
    const headers = { ...this.request.headers, Prefer: "respond-async", "Idempotency-Key": this.idempotencyKey };
    for (let attempt = 1; ; attempt++) {
      try {
        const { body } = await this.door.call(this.request.path, { method: "POST", body: this.request.body(), headers });
        this.change({ job: body.object === "job" ? body : await this.read(body.id), reconnecting: false });
        break;
      } catch (error) {
        if (!isPassing(error) || attempt === SUBMIT_ATTEMPTS) throw this.end(error);
        this.change({ reconnecting: true });
        await this.pause(attempt, error);
      }
    }
    if (this.isCancelling) await this.cancel();
  }

  /** Follow the job to its end, over broken connections. */
  async follow() {
    while (!this.ended) {
      try {
        if (streams < MOST_STREAMS) await this.stream();
        else await this.poll();
      } catch (error) {
        if (!isPassing(error)) return void this.end(error);
        this.change({ reconnecting: true });
        await this.pause(++this.failures, error);
      }
    }
  }

  /** Show the job's events until the stream ends. */
  async stream() {
    streams++;
    try {
      for await (const event of this.door.events(`/v1/jobs/${this.id}/events`, { lastEventId: this.lastEventId })) {
        this.lastEventId = event.id;
        this.failures = 0;
        this.change({ job: event.data, reconnecting: false });
      }
    } finally {
      streams--;
    }
    if (!this.ended) await this.pause(++this.failures);
  }

  /** Show the job as it is in a while. */
  async poll() {
    await this.door.sleep(POLL_MS);
    const job = await this.read(this.id);
    this.failures = 0;
    this.change({ job, reconnecting: false });
  }

  /** Cancel the job, at once or as soon as it exists. The event stream brings the outcome. */
  async cancel() {
    this.change({ isCancelling: true });
    if (!this.job || this.ended) return;
    try {
      const { body } = await this.door.call(`/v1/jobs/${this.id}/cancel`, { method: "POST" });
      this.change({ job: body });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.change({ isCancelling: false });
      throw error;
    }
  }

  get id() {
    return this.job?.id ?? "";
  }

  /** @param {string} id @returns {Promise<Job>} */
  async read(id) {
    return (await this.door.call(`/v1/jobs/${id}`)).body;
  }

  /** @param {Partial<Pick<Run, "job" | "error" | "reconnecting" | "isCancelling">>} change */
  change(change) {
    // A response that was sent earlier never replaces a job that has ended.
    if (change.job && this.job && !isUnfinished(this.job)) return;
    Object.assign(this, change);
    for (const listener of [...this.listeners]) listener();
  }

  /** @param {unknown} error @returns {unknown} */
  end(error) {
    if (error instanceof ApiError) this.change({ error, reconnecting: false });
    return error;
  }

  /** @param {number} failures @param {unknown} [error] */
  pause(failures, error) {
    const asked = error instanceof ApiError ? error.retryAfter * 1000 : 0;
    const growing = Math.min(LONGEST_PAUSE_MS, 250 * 2 ** Math.min(failures, 8));
    return this.door.sleep(Math.max(asked, growing));
  }
}

/** @param {unknown} error @returns {error is ApiError} */
function isPassing(error) {
  return error instanceof ApiError && PASSING.has(error.status) && error.code !== "provider_not_configured";
}

/** @param {number} milliseconds @returns {Promise<void>} */
function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Return 128 random bits as text. `crypto.randomUUID` exists on https and localhost only. */
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
