// @ts-check
/** Fields of a form: every option that a model takes, and no other. Facts come from the model's description. */

import { hasFreeSizes, ratioOptions, sizeOptions } from "./sizes.js";

/** @typedef {import("./models.js").Model} Model */
/** @typedef {import("./models.js").Task} Task */
/** @typedef {Record<string, any>} Values values of a form by field name; a missing one is not sent */

/**
 * @typedef {object} Field
 * @property {string} name as the API spells it
 * @property {string} label
 * @property {"size" | "number" | "choice" | "lines" | "loras"} kind
 * @property {{value: string, label: string}[]} [options] of a choice; of a size, beside free ones
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step]
 * @property {string} [placeholder] what the model does without a value
 * @property {string} [hint]
 * @property {boolean} [main] shown at once, not under "More options"
 * @property {import("./models.js").Limits} [limits] of a size
 * @property {(values: Values) => boolean} [when] whether the field has an effect beside the other values; default: always
 */

const COMPRESSED = ["jpeg", "webp"];
const RASTER = ["png", "jpeg", "webp"];
const MAX_SEED = 4_294_967_295;

/**
 * Return the limits of a model for a task.
 * @param {Model} model @param {Task} task
 */
export function limitsOf(model, task) {
  return (task === "edit" && model.edit_limits) || model.limits;
}

/**
 * Return the fields of a model beside its prompt and its images, in the order of a form.
 * @param {Model} model @param {Task} task @returns {Field[]}
 */
export function fieldsOf(model, task) {
  const limits = limitsOf(model, task);
  const can = (/** @type {string} */ capability) => model.capabilities.includes(capability);
  const video = model.modality === "video";
  return [
    sizeField(limits),
    limits.max_n > 1 && number("n", video ? "Videos" : "Images", { min: 1, max: limits.max_n, step: 1, placeholder: "1", main: true }),
    limits.qualities?.length && choice("quality", "Quality", limits.qualities, { main: true }),
    limits.max_seconds && number("seconds", "Seconds", { min: limits.min_seconds, max: limits.max_seconds, step: 1, main: true }),
    limits.fps?.length && choice("fps", "Frames per second", limits.fps.map(String), { main: true }),
    limits.styles?.length && choice("style", "Style", limits.styles),
    can("negative_prompt") && { name: "negative_prompt", label: "Negative prompt", kind: "lines", placeholder: "What the image must not show" },
    can("seed") && number("seed", "Seed", { min: 0, max: MAX_SEED, step: 1, placeholder: "Random", hint: "Repeats an image where the model can." }),
    can("transparent_background") && choice("background", "Background", ["transparent", "opaque"]),
    task === "edit" && can("strength") && number("strength", "Strength", { min: 0, max: 1, step: 0.05, hint: "0: almost the input; 1: almost free." }),
    can("complexity") && choice("complexity", "Complexity", ["low", "medium", "high"]),
    ...(video ? [] : outputFields(limits)),
    can("partial_images") && number("partial_images", "Partial images", { min: 0, max: 3, step: 1, placeholder: "None", hint: "Unfinished images, which the provider may charge for." }),
    can("lora") && { name: "loras", label: "LoRAs", kind: "loras", hint: "LoRAs run on your own account at the provider." },
  ].filter(isField);
}

/**
 * Return the values that a request carries: those of the model's fields that have an effect.
 * @param {Field[]} fields @param {Values} values @returns {Values}
 */
export function effective(fields, values) {
  /** @type {Values} */
  const sent = {};
  for (const { name, when } of fields) {
    const value = values[name];
    if (isEmpty(value) || (when && !when(values))) continue;
    if (name === "size" && value.includes(":")) sent.aspect_ratio = value;
    else sent[name] = name === "fps" ? Number(value) : value;
  }
  return sent;
}

/**
 * Return the values of a form from the fields of a request: what the model's fields can hold.
 * @param {Field[]} fields @param {Values} request @returns {Values}
 */
export function valuesOf(fields, request) {
  /** @type {Values} */
  const values = {};
  for (const { name, options } of fields) {
    const byRatio = name === "size" && options?.some(({ value }) => value === request.aspect_ratio);
    const given = byRatio ? request.aspect_ratio : request[name];
    if (isEmpty(given) || given === "auto") continue;
    const value = name === "fps" ? String(given) : given;
    if (!options || name === "size" || options.some((option) => option.value === value)) values[name] = value;
  }
  return values;
}

/** @param {unknown} value */
function isEmpty(value) {
  return value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);
}

/** @param {import("./models.js").Limits} limits @returns {Field | false} */
function sizeField(limits) {
  const options = [...sizeOptions(limits), ...ratioOptions(limits)];
  if (!options.length && !hasFreeSizes(limits)) return false;
  const label = options.every(({ value }) => value.includes(":")) && !hasFreeSizes(limits) ? "Aspect ratio" : "Size";
  return { name: "size", label, kind: "size", options, limits, main: true };
}

/** @param {import("./models.js").Limits} limits @returns {(Field | false)[]} */
function outputFields(limits) {
  const own = limits.output_formats ?? [];
  if (!own.some((format) => RASTER.includes(format))) return [];
  const format = (/** @type {Values} */ values) => values.output_format || own[0];
  const gif = (/** @type {Values} */ values) => values.output_format === "gif";
  const animated = own.includes("gif");
  return [
    choice("output_format", "Format", [...RASTER, ...own.filter((name) => !RASTER.includes(name))]),
    number("output_compression", "Compression quality", { min: 0, max: 100, step: 1, placeholder: "95", when: (values) => COMPRESSED.includes(format(values)) }),
    animated && number("frame_count", "Frames", { min: 2, max: 16, step: 1, when: gif }),
    animated && number("frame_duration_ms", "Milliseconds per frame", { min: 10, max: 655_350, step: 10, when: gif }),
  ];
}

/** @param {string} name @param {string} label @param {Partial<Field>} facts @returns {Field} */
function number(name, label, facts) {
  return { name, label, kind: "number", ...facts };
}

/** @param {string} name @param {string} label @param {string[]} values @param {Partial<Field>} [facts] @returns {Field} */
function choice(name, label, values, facts = {}) {
  return { name, label, kind: "choice", options: values.map((value) => ({ value, label: value })), ...facts };
}

/** @param {any} field @returns {field is Field} */
function isField(field) {
  return Boolean(field);
}
