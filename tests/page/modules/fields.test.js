// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { effective, fieldsOf, limitsOf, valuesOf } from "../../../services/imagegateway/media/web/page/fields.js";
import { fits, ratioOptions, sizeOptions } from "../../../services/imagegateway/media/web/page/sizes.js";

const LIMITS = { max_prompt_length: 4000, prompt_required: true, max_n: 4, default_size: "1024x1024" };

/** @param {string[]} capabilities @param {object} limits @param {object} [facts] @returns {any} */
function model(capabilities, limits, facts = {}) {
  return { id: "a/b", owned_by: "a", description: "", modality: "image", capabilities, limits: { ...LIMITS, ...limits }, ...facts };
}

/** @param {any} described @param {"generate" | "edit"} [task] */
function names(described, task = "generate") {
  return fieldsOf(described, task).map(({ name }) => name);
}

test("a model with nothing but a size has no other field", () => {
  assert.deepEqual(names(model(["text_to_image"], { max_n: 1, sizes: ["1024x1024"] })), ["size"]);
});

test("a field appears with the fact that the model takes it", () => {
  const cases = /** @type {[string, string[], object][]} */ ([
    ["n", [], { max_n: 2 }],
    ["quality", [], { qualities: ["low", "high"] }],
    ["style", [], { styles: ["vivid"] }],
    ["negative_prompt", ["negative_prompt"], {}],
    ["seed", ["seed"], {}],
    ["background", ["transparent_background"], {}],
    ["complexity", ["complexity"], {}],
    ["output_format", [], { output_formats: ["png"] }],
    ["output_compression", [], { output_formats: ["png"] }],
    ["frame_count", [], { output_formats: ["png", "gif"] }],
    ["partial_images", ["partial_images"], {}],
    ["loras", ["lora"], {}],
    ["seconds", [], { min_seconds: 4, max_seconds: 8 }],
    ["fps", [], { fps: [24, 30] }],
  ]);
  for (const [name, capabilities, limits] of cases) {
    assert.ok(names(model(["text_to_image", ...capabilities], { max_n: 1, ...limits })).includes(name), name);
    assert.ok(!names(model(["text_to_image"], { max_n: 1 })).includes(name), name);
  }
});

test("a video has no image format, and a drawing in SVG can't become another one", () => {
  assert.ok(!names(model(["text_to_video"], { output_formats: ["png"] }, { modality: "video" })).includes("output_format"));
  assert.ok(!names(model(["text_to_image"], { output_formats: ["svg"] })).includes("output_format"));
});

test("edits have their own limits where the model names some", () => {
  const described = model(["image_to_image"], { sizes: ["1x1"] }, { edit_limits: { ...LIMITS, max_n: 1, aspect_ratios: ["1:1"] } });
  assert.deepEqual(limitsOf(described, "edit").aspect_ratios, ["1:1"]);
  assert.deepEqual(fieldsOf(described, "edit").map(({ label }) => label), ["Aspect ratio"]);
});

test("strength is for edits", () => {
  const described = model(["text_to_image", "image_to_image", "strength"], {});
  assert.ok(names(described, "edit").includes("strength"));
  assert.ok(!names(described).includes("strength"));
});

test("sizes are the model's own, or common ones within its limits", () => {
  const limits = { ...LIMITS, min_side: 512, max_side: 1536, side_step: 64, max_pixels: 1_100_000 };
  assert.deepEqual(sizeOptions({ ...LIMITS, sizes: ["1024x768"] }), [{ value: "1024x768", label: "1024 × 768, landscape" }]);
  assert.deepEqual(sizeOptions(limits).map(({ value }) => value), ["1024x1024", "1344x768", "768x1344", "512x512"]);
  assert.deepEqual(ratioOptions({ ...LIMITS, aspect_ratios: ["9:16"] }), [{ value: "9:16", label: "9:16, portrait" }]);
  assert.ok(fits(limits, 1024, 1024));
  for (const [width, height] of [[1024, 1000], [448, 512], [1600, 512], [1536, 1536]]) assert.ok(!fits(limits, width, height));
  assert.ok(!fits({ ...limits, max_aspect_ratio: 2 }, 1536, 512));
});

test("a request carries the values with an effect, as the API spells them", () => {
  const fields = fieldsOf(model(["text_to_image", "seed"], { output_formats: ["png"], fps: [24], aspect_ratios: ["16:9"], sizes: ["1024x1024"] }), "generate");
  const values = { size: "16:9", n: 2, seed: 0, fps: "24", output_compression: 50, style: "", negative_prompt: undefined };
  assert.deepEqual(effective(fields, values), { aspect_ratio: "16:9", n: 2, seed: 0, fps: 24 });
  assert.deepEqual(effective(fields, { ...values, output_format: "webp" }).output_compression, 50);
  assert.deepEqual(effective(fields, { size: "1024x1024" }), { size: "1024x1024" });
});

test("a form takes over the values that its model can hold", () => {
  const fields = fieldsOf(model(["text_to_image"], { qualities: ["low"], sizes: ["1024x1024"], aspect_ratios: ["16:9"] }), "generate");
  assert.deepEqual(valuesOf(fields, { quality: "low", size: "1820x1024", aspect_ratio: "16:9", seed: 7 }), { quality: "low", size: "16:9" });
  assert.deepEqual(valuesOf(fields, { quality: "ultra", size: "1024x1024", aspect_ratio: "4:3" }), { size: "1024x1024" });
  assert.deepEqual(valuesOf(fields, { size: "auto", n: 3 }), { n: 3 });
});
