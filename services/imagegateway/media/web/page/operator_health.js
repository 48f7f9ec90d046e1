// @ts-check
/** Operator's view: provider routes with their circuit breakers, and recent failures. */

import { call } from "./api.js";
import { el, fill } from "./dom.js";
import { scrollTable } from "./scroll_table.js";
import { timeElement } from "./time_element.js";

/** @typedef {{model: string, state: string, retry_in?: number, failures?: number, last_error?: string}} Circuit */
/** @typedef {{route: string, available?: boolean, missing_settings?: string[], models?: string[], circuits?: Circuit[]}} Provider */

const FAILURES = 20;

/** Section with providers and failures. */
export class HealthSection {
  /** @param {AbortSignal} signal @param {(work: Promise<void>) => void} guard */
  constructor(signal, guard) {
    this.signal = signal;
    this.guard = guard;
    this.providers = el("ul", { class: "providers" });
    this.failures = el("div", { class: "card" });
    this.element = el(
      "section",
      { class: "stack", "aria-label": "Health" },
      el("h2", {}, "Providers"),
      this.providers,
      el("h2", {}, "Recent failures"),
      this.failures,
    );
  }

  load() {
    this.guard(this.fetchProviders());
    this.guard(this.fetchFailures());
  }

  async fetchProviders() {
    const { body } = await call("/v1/admin/providers", { signal: this.signal });
    const sorted = [...body.data].sort((a, b) => Number(b.available ?? false) - Number(a.available ?? false) || a.route.localeCompare(b.route));
    fill(this.providers, sorted.map(providerItem));
  }

  async fetchFailures() {
    const { body } = await call(`/v1/admin/jobs?status=failed&page_size=${FAILURES}`, { signal: this.signal });
    fill(this.failures, body.data.length ? failureTable(body.data) : el("p", { class: "section soft" }, "No job has failed."));
  }
}

/** @param {Provider} provider */
function providerItem(provider) {
  const troubled = (provider.circuits ?? []).filter(({ state }) => state !== "closed");
  const state = !provider.available ? ["tag", "not set up"] : troubled.length ? ["tag bad", "failing"] : ["tag good", "ready"];
  const count = provider.models?.length ?? 0;
  return el(
    "li",
    { class: "card provider" },
    el("strong", {}, provider.route),
    el("span", { class: state[0] }, state[1]),
    el("span", { class: "hint" }, count === 1 ? "1 model" : `${count} models`),
    !provider.available && el("p", { class: "hint" }, "Needs ", (provider.missing_settings ?? []).join(" and ")),
    (provider.circuits ?? []).map((circuit) => el("p", { class: "hint" }, circuitText(circuit))),
  );
}

/** @param {Circuit} circuit */
function circuitText(circuit) {
  const retry = circuit.retry_in ? `, next call in ${circuit.retry_in} s` : "";
  const failures = circuit.failures === 1 ? "1 failure" : `${circuit.failures ?? 0} failures in a row`;
  return `${circuit.model}: circuit ${circuit.state.replace("_", "-")}, ${failures} (${circuit.last_error || "unknown"})${retry}`;
}

/** @param {any[]} jobs */
function failureTable(jobs) {
  const head = ["Time", "Tenant", "Model", "Provider", "Reason"];
  const rows = jobs.map((job) =>
    el(
      "tr",
      {},
      el("td", {}, timeElement(job.completed_at ?? job.created_at)),
      el("td", {}, job.tenant),
      el("td", {}, job.model),
      el("td", {}, job.provider),
      el("td", {}, el("code", {}, job.error?.code ?? ""), el("p", { class: "hint" }, job.error?.message ?? ""), el("p", { class: "hint" }, job.id)),
    ),
  );
  return scrollTable("Recent failures", head.map((name) => el("th", { scope: "col" }, name)), el("tbody", {}, rows));
}
