// @ts-check
/** View: the catalog, with search, capabilities, prices and the settings that a model needs. */

import { el, fill } from "./dom.js";
import { capabilityTags, modelLine, modelNotice } from "./model_facts.js";
import { orderModels, readyText, searchModels } from "./model_search.js";
import { serves } from "./models.js";
import { viewParams } from "./router.js";

/** @typedef {import("./models.js").Model} Model */

/** @type {[string, (model: Model) => boolean][]} */
const FILTERS = [
  ["Ready", (model) => model.available === true],
  ["Images", (model) => model.modality === "image" && serves(model, "generate")],
  ["Edits", (model) => serves(model, "edit")],
  ["Masks", (model) => model.capabilities.includes("mask")],
  ["LoRA", (model) => model.capabilities.includes("lora")],
  ["Videos", (model) => model.modality === "video"],
];

/** @type {import("./router.js").ViewModule["mount"]} */
export function mount(root, context) {
  const { models } = context.state.value;
  /** @type {Set<number>} */
  const chosen = new Set();
  const search = el("input", {
    type: "search",
    value: viewParams(location.hash).get("q") ?? "",
    placeholder: "Name, provider or capability",
    spellcheck: "false",
    autocomplete: "off",
  });
  const count = el("p", { class: "hint", role: "status" });
  const list = el("ul", { class: "model-grid" });

  const show = () => {
    const kept = models.filter((model) => [...chosen].every((index) => FILTERS[index][1](model)));
    const found = orderModels(searchModels(kept, search.value));
    count.textContent = found.length ? `${readyText(found)}.` : "No model matches.";
    fill(list, found.map((model) => modelCard(model, context)));
  };
  const chips = FILTERS.map(([label], index) => {
    const click = () => {
      if (!chosen.delete(index)) chosen.add(index);
      chip.setAttribute("aria-pressed", String(chosen.has(index)));
      show();
    };
    const chip = el("button", { class: "chip", type: "button", "aria-pressed": "false", on: { click } }, label);
    return chip;
  });
  search.addEventListener("input", show);
  root.append(
    el(
      "header",
      { class: "view-head" },
      el("h1", {}, "Models"),
      el("label", { class: "field catalog-search" }, el("span", { class: "name" }, "Search"), search),
    ),
    el("div", { class: "chips", role: "group", "aria-label": "Filters" }, chips),
    count,
    list,
  );
  show();
  return { unmount: () => {} };
}

/**
 * Return the requests that a model takes, in a few words each.
 * @param {Model} model
 * @returns {[string, string][]}
 */
function limitsOf(model) {
  const { limits } = model;
  const sides = limits.min_side && limits.max_side ? `${limits.min_side} to ${limits.max_side} px` : "";
  /** @type {[string, string][]} */
  const facts = [
    ["images per call", String(limits.max_n ?? 1)],
    ["input images", limits.max_input_images ? `up to ${limits.max_input_images}` : ""],
    ["sizes", limits.sizes?.join(", ") || sides],
    ["formats", limits.output_formats?.join(", ") ?? ""],
    ["routes", (model.routes ?? []).map(({ name }) => name).join(", ")],
    ["aliases", (model.aliases ?? []).join(", ")],
  ];
  return facts.filter(([, value]) => value);
}

/** @param {Model} model @param {import("./main.js").Context} context */
function modelCard(model, context) {
  /** @param {"generate" | "edit"} view */
  const use = (view) => () => {
    context.state.set({ draft: { model: model.id } });
    context.navigate(view);
  };
  /** @param {"generate" | "edit"} view @param {string} label */
  const button = (view, label) =>
    serves(model, view) &&
    model.available &&
    el("button", { class: "button small", type: "button", "aria-label": `${label} with ${model.id}`, on: { click: use(view) } }, label);
  return el(
    "li",
    { class: "card model-card" },
    el("h2", {}, model.id),
    modelLine(model),
    el("p", { class: "soft" }, model.description),
    modelNotice(model),
    capabilityTags(model),
    el(
      "details",
      {},
      el("summary", {}, "Limits and routes"),
      el("dl", { class: "facts" }, limitsOf(model).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    ),
    el("div", { class: "actions" }, button("generate", "Generate"), button("edit", "Edit")),
  );
}
