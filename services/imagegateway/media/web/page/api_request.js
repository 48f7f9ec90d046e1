// @ts-check
/** Calls of the API from the fields of a form. */

/** @typedef {import("./models.js").Model} Model */
/** @typedef {import("./models.js").Task} Task */

/**
 * Return the path of a call.
 * @param {Task} task @param {Model} model
 */
export function pathOf(task, model) {
  if (task === "edit") return "/v1/images/edits";
  return model.modality === "video" ? "/v1/videos/generations" : "/v1/images/generations";
}

/**
 * Return the form of an edit. Lists and objects go in as JSON.
 * @param {Record<string, any>} fields @param {Blob[]} images @param {Blob | null} mask
 * @returns {FormData}
 */
export function editForm(fields, images, mask) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    form.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  images.forEach((image, index) => form.append("image[]", image, `input-${index + 1}`));
  if (mask) form.append("mask", mask, "mask.png");
  return form;
}
