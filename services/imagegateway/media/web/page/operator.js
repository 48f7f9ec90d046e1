// @ts-check
/** View: usage, keys and health of the whole gateway, for keys with the scope `admin`. */

import { ApiError } from "./api.js";
import { el, fill } from "./dom.js";
import { HealthSection } from "./operator_health.js";
import { KeysSection } from "./operator_keys.js";
import { UsageSection } from "./operator_usage.js";

/** @type {import("./router.js").ViewModule["mount"]} */
export function mount(root) {
  const stopped = new AbortController();
  const problem = el("div", { role: "alert" });
  /** @param {Promise<void>} work */
  const guard = async (work) => {
    try {
      await work;
    } catch (error) {
      if (stopped.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      fill(problem, el("p", { class: "message bad" }, problemText(error)));
    }
  };
  const usage = new UsageSection(stopped.signal, guard);
  const keys = new KeysSection(stopped.signal, guard, (all) => usage.nameKeys(all));
  const health = new HealthSection(stopped.signal, guard);
  root.append(
    el("header", { class: "view-head" }, el("h1", {}, "Operator")),
    problem,
    el("div", { class: "operator" }, usage.element, keys.element, health.element),
  );
  for (const section of [usage, keys, health]) section.load();
  return { unmount: () => stopped.abort() };
}

/** @param {ApiError} error */
function problemText(error) {
  if (error.code !== "unknown_url") return error.message;
  return "The administration API isn't served at this address: see the setting IMAGEGATEWAY_ADMIN_LISTEN.";
}
