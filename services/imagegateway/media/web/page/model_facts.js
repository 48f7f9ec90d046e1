// @ts-check
/** Facts of a model as elements: tags of its capabilities, price, readiness, end of life. */

import { el } from "./dom.js";
import { capabilityLabel, endOfLife, isSlow } from "./model_search.js";
import { priceText } from "./money.js";

/** @typedef {import("./models.js").Model} Model */

/**
 * Return the tags of a model's capabilities.
 * @param {Model} model
 */
export function capabilityTags(model) {
  const labels = [...model.capabilities.map(capabilityLabel), ...(isSlow(model) ? ["takes a while"] : [])];
  return el("span", { class: "tags" }, labels.map((label) => el("span", { class: "tag" }, label)));
}

/**
 * Return readiness and price in a line.
 * @param {Model} model
 */
export function modelLine(model) {
  return el(
    "span",
    { class: "model-line" },
    el("span", { class: model.available ? "tag good" : "tag note" }, model.available ? "ready" : "not ready"),
    el("span", { class: "hint" }, priceText(model.pricing)),
  );
}

/**
 * Return why a model can't be used, or until when it can. Null: nothing to say.
 * @param {Model} model
 */
export function modelNotice(model) {
  const text = [model.available ? "" : (model.unavailable_reason ?? ""), endOfLife(model)].filter(Boolean).join(" ");
  return text ? el("p", { class: "hint" }, text) : null;
}
