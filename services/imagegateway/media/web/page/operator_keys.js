// @ts-check
/** Operator's view: API keys with their limits and budgets. */

import { call } from "./api.js";
import { confirmed } from "./confirm_dialog.js";
import { el, fill } from "./dom.js";
import { createKey } from "./key_dialog.js";
import { budgetText, keyState, limitsText } from "./key_facts.js";
import { allPages } from "./paged.js";
import { scrollTable } from "./scroll_table.js";
import { timeElement } from "./time_element.js";

/** @typedef {import("./key_facts.js").GatewayKey} GatewayKey */

const HEAD = ["Key", "Tenant", "Scopes", "Limits", "Budget", "Last used", ""];

/** Section with the table of keys. */
export class KeysSection {
  /**
   * @param {AbortSignal} signal @param {(work: Promise<void>) => void} guard
   * @param {(keys: GatewayKey[]) => void} onKeys Called with all keys, revoked ones too.
   */
  constructor(signal, guard, onKeys) {
    this.signal = signal;
    this.guard = guard;
    this.onKeys = onKeys;
    /** @type {GatewayKey[]} */
    this.keys = [];
    this.body = el("tbody");
    this.revoked = el("input", { type: "checkbox", on: { change: () => this.show() } });
    // The dialog offers the tenants of the keys: until they are here, its required field would be empty.
    this.newKey = el("button", { class: "button small", type: "button", disabled: true, on: { click: () => this.create() } }, "New key");
    this.element = el(
      "section",
      { class: "stack", "aria-labelledby": "keys-title" },
      el(
        "header",
        { class: "section-head" },
        el("h2", { id: "keys-title" }, "Keys"),
        el("label", { class: "check" }, this.revoked, "Show revoked keys"),
        this.newKey,
      ),
      el(
        "div",
        { class: "card" },
        scrollTable("Table of keys", HEAD.map((name) => (name ? el("th", { scope: "col" }, name) : el("td"))), this.body),
      ),
    );
  }

  load() {
    this.guard(this.fetchKeys());
  }

  async fetchKeys() {
    const { data } = await allPages("/v1/admin/keys", { revoked: "true" }, this.signal);
    this.keys = data;
    this.newKey.disabled = false;
    this.onKeys(data);
    this.show();
  }

  show() {
    const shown = this.keys.filter((key) => this.revoked.checked || key.revoked_at === undefined);
    fill(this.body, shown.map((key) => this.row(key)));
  }

  create() {
    const tenants = [...new Set(this.keys.map(({ tenant }) => tenant))];
    createKey({ tenants, onCreate: () => this.load() });
  }

  /** @param {GatewayKey} key */
  row(key) {
    const state = keyState(key, Date.now() / 1000);
    const used = key.last_used_at ? timeElement(key.last_used_at) : "never";
    const revoke = () => this.guard(this.revoke(key));
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, el("span", { class: "name" }, key.name || "No name"), el("code", {}, key.id)),
      el("td", {}, key.tenant),
      el("td", {}, (key.scopes ?? []).join(", ")),
      el("td", {}, limitsText(key)),
      el("td", {}, budgetText(key), key.budget ? el("meter", { min: 0, max: key.budget, high: key.budget * 0.8, value: key.spent ?? 0, "aria-label": "Share of the budget that is spent" }) : null),
      el("td", {}, used),
      el(
        "td",
        {},
        state === "active"
          ? el("button", { class: "button small danger", type: "button", "aria-label": `Revoke ${key.name || key.id}`, on: { click: revoke } }, "Revoke")
          : el("span", { class: "tag bad" }, state),
      ),
    );
  }

  /** @param {GatewayKey} key */
  async revoke(key) {
    const agreed = await confirmed({
      title: `Revoke ${key.name || key.id}?`,
      text: "Calls with this key are refused within 2 seconds. A revoked key never becomes valid again.",
      action: "Revoke",
    });
    if (!agreed) return;
    await call(`/v1/admin/keys/${key.id}`, { method: "DELETE" });
    await this.fetchKeys();
  }
}
