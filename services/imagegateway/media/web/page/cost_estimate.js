// @ts-check
/** Expected cost of the form's request, from a plan of the gateway, or why the gateway would refuse the request. */

import { ApiError } from "./api.js";
import { el, fill } from "./dom.js";
import { costText } from "./money.js";
import { planOf } from "./plan.js";

const DELAY_MS = 400;

/**
 * Request whose cost is asked for.
 * @typedef {{path: string, body: FormData | object, headers: Record<string, string>, key: string}} PlannedRequest
 * `key` changes with everything that may change the cost; the same key asks once.
 */

/** Line of text under a form. `refresh` after each change of the form. */
export class CostEstimate {
  /** @param {() => PlannedRequest | null} request Null: the form is not complete yet. */
  constructor(request) {
    this.request = request;
    this.element = el("p", { class: "hint cost", role: "status" });
    this.running = new AbortController();
    this.timer = 0;
    this.key = "";
  }

  /** Ask again soon, if the request has changed. */
  refresh() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), DELAY_MS);
  }

  close() {
    clearTimeout(this.timer);
    this.running.abort();
  }

  async ask() {
    const request = this.request();
    if (request?.key === this.key) return;
    this.running.abort();
    this.key = request?.key ?? "";
    if (!request) return fill(this.element);
    this.running = new AbortController();
    const { signal } = this.running;
    try {
      this.show(await planOf(request.path, request.body, signal, request.headers));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.key = "";  // the next change asks again
      this.refuse(error);
    }
  }

  /** @param {import("./plan.js").Plan} plan */
  show(plan) {
    const cost = costText(plan.estimated_cost);
    const warnings = (plan.warnings ?? []).map(({ message }) => el("span", { class: "cost-warning" }, message));
    this.element.classList.remove("bad");
    fill(this.element, cost ? `Costs ${cost === "free" ? "nothing" : cost}.` : "The price is unknown.", warnings);
  }

  /** @param {ApiError} error */
  refuse(error) {
    this.element.classList.add("bad");
    fill(this.element, error.message);
  }
}
