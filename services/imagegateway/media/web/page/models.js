// @ts-check
/** Models of the catalog: what they serve, and their order. */

import { call } from "./api.js";

/**
 * @typedef {object} Limits fields of a model's `limits`
 * @property {number} max_prompt_length in characters
 * @property {boolean} prompt_required
 * @property {number} max_n
 * @property {number} [max_input_images]
 * @property {string[]} [sizes]
 * @property {string[]} [aspect_ratios]
 * @property {string} default_size
 * @property {number} [min_side] in pixels, as all sides
 * @property {number} [max_side]
 * @property {number} [side_step]
 * @property {number} [min_pixels]
 * @property {number} [max_pixels]
 * @property {number} [max_aspect_ratio]
 * @property {string[]} [output_formats] the model's own one first
 * @property {string[]} [qualities]
 * @property {string[]} [styles]
 * @property {number} [min_seconds]
 * @property {number} [max_seconds]
 * @property {number[]} [fps]
 */

/**
 * @typedef {object} Model fields of `/v1/models`
 * @property {string} id
 * @property {string} owned_by
 * @property {string} description
 * @property {"image" | "video"} modality
 * @property {string[]} [aliases]
 * @property {string[]} capabilities
 * @property {Limits} limits
 * @property {Limits} [edit_limits]
 * @property {{name: string, mode: "inline" | "async", available?: boolean, missing_settings?: string[]}[]} [routes]
 * @property {string[]} [default_for]
 * @property {boolean} [available]
 * @property {string} [unavailable_reason]
 * @property {string} [retired_at]
 * @property {string} [successor]
 * @property {{currency: string, unit: string, amount?: number, estimate?: number}} [pricing]
 */

/** @typedef {"generate" | "edit"} Task */

/**
 * Return the models that the key may use.
 * @param {AbortSignal} [signal] @returns {Promise<Model[]>}
 */
export async function loadModels(signal) {
  return (await call("/v1/models", { signal })).body.data;
}

/**
 * Return whether a model serves a task.
 * @param {Model} model @param {Task} task
 */
export function serves(model, task) {
  const needed = task === "edit" ? ["image_to_image"] : ["text_to_image", "text_to_video"];
  return needed.some((name) => model.capabilities.includes(name));
}

/**
 * Return the models for a task: ready ones first, then by family and id.
 * @param {Model[]} models @param {Task} task @returns {Model[]}
 */
export function modelsFor(models, task) {
  return models
    .filter((model) => serves(model, task))
    .sort(
      (a, b) =>
        Number(b.available ?? false) - Number(a.available ?? false) ||
        a.owned_by.localeCompare(b.owned_by) ||
        a.id.localeCompare(b.id),
    );
}
