// @ts-check
/** Search, order and facts of the models in the catalog. */

/** @typedef {import("./models.js").Model} Model */

/** @type {Record<string, string>} */
const CAPABILITIES = {
  text_to_image: "generates",
  image_to_image: "edits",
  text_to_video: "makes videos",
  mask: "mask",
  lora: "LoRA",
  seed: "seed",
  negative_prompt: "negative prompt",
  partial_images: "partial images",
  transparent_background: "transparent background",
  style: "style",
  complexity: "complexity",
  markup: "markup",
  safety_identifier: "safety identifier",
  svg_author: "SVG author",
};

/**
 * Return the name of a capability for people.
 * @param {string} capability
 */
export function capabilityLabel(capability) {
  return CAPABILITIES[capability] ?? capability.replaceAll("_", " ");
}

/**
 * Return the models that match every word of the query by id, alias, provider, capability or description.
 * @param {Model[]} models
 * @param {string} query
 */
export function searchModels(models, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return models.filter((model) => {
    const text = searchText(model);
    return words.every((word) => text.includes(word));
  });
}

/** @param {Model} model */
function searchText(model) {
  const { capabilities } = model;
  return [
    model.id,
    ...(model.aliases ?? []),
    model.owned_by,
    ...(model.routes ?? []).map(({ name }) => name),
    model.modality,
    ...capabilities,
    ...capabilities.map(capabilityLabel),
    model.description,
  ].join(" ").toLowerCase();
}

/**
 * Return the models in the order of a list: the default, ready ones, then those without a key, then retired ones.
 * @param {Model[]} models
 * @param {string} [defaultId]
 * @param {string} [today] Date, `YYYY-MM-DD`.
 */
export function orderModels(models, defaultId = "", today = dateOf(new Date())) {
  /** @param {Model} model */
  const rank = (model) => (isRetired(model, today) ? 3 : model.available ? (model.id === defaultId ? 0 : 1) : 2);
  return [...models].sort((a, b) => rank(a) - rank(b) || a.id.localeCompare(b.id));
}

/**
 * Return True when the provider has retired the model.
 * @param {Model} model
 * @param {string} today
 */
function isRetired(model, today) {
  return model.retired_at !== undefined && model.retired_at <= today;
}

/**
 * Return a sentence about the end of the model's life. Empty: no end is announced.
 * @param {Model} model
 * @param {string} [today]
 */
export function endOfLife(model, today = dateOf(new Date())) {
  if (!model.retired_at) return "";
  const successor = model.successor ? ` Successor: ${model.successor}.` : "";
  return `${isRetired(model, today) ? "Retired on" : "Retires on"} ${model.retired_at}.${successor}`;
}

/**
 * Return the number of ready models in words.
 * @param {Model[]} models
 */
export function readyText(models) {
  const ready = models.filter((model) => model.available).length;
  return `${ready} of ${models.length} models ready`;
}

/**
 * Return True when the model's first route answers with a job.
 * @param {Model} model
 */
export function isSlow(model) {
  const serving = model.routes?.find((route) => route.available) ?? model.routes?.[0];
  return serving?.mode === "async";
}

/** @param {Date} time */
function dateOf(time) {
  return time.toISOString().slice(0, 10);
}
