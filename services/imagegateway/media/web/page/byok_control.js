// @ts-check
/** Control of the caller's own provider key, which a call carries in `X-BYOK-<route>`. The page doesn't keep the key. */

import { el, fill } from "./dom.js";

/** @typedef {import("./models.js").Model} Model */

export class ByokControl {
  /** @param {() => void} onChange */
  constructor(onChange) {
    const change = () => {
      this.showError("");
      onChange();
    };
    this.route = el("select", { id: "byok-route", on: { change } });
    this.key = el("input", { id: "byok-key", type: "password", autocomplete: "off", spellcheck: "false", placeholder: "None", on: { input: change } });
    this.message = el("span", { class: "hint" });
    this.element = el(
      "div",
      { class: "field wide", "data-field": "byok" },
      el("label", { class: "name", for: "byok-key" }, "Your own provider key"),
      el("div", { class: "byok" }, el("label", { class: "unseen", for: "byok-route" }, "Provider of the key"), this.route, this.key),
      this.message,
    );
    this.showError("");
  }

  /** Offer the routes of a model. @param {Model} model */
  show(model) {
    const routes = (model.routes ?? []).map(({ name }) => name).filter((name) => name !== "local");
    this.element.hidden = routes.length === 0;
    const chosen = this.route.value;
    fill(this.route, routes.map((name) => el("option", { value: name }, name)));
    if (routes.includes(chosen)) this.route.value = chosen;
    if (!routes.length) this.key.value = "";
  }

  /** Return the route of the key; empty without a key. */
  get chosenRoute() {
    return this.key.value.trim() ? this.route.value : "";
  }

  /** @returns {Record<string, string>} */
  get headers() {
    return this.chosenRoute ? { [`X-BYOK-${this.chosenRoute}`]: this.key.value.trim() } : {};
  }

  /** @param {string} text */
  showError(text) {
    this.message.classList.toggle("bad", Boolean(text));
    fill(this.message, text || "The call then runs on your account at the provider. The key leaves this page with the call only.");
  }

  focus() {
    this.key.focus();
  }
}
