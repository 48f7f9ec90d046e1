// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { endOfLife, isSlow, orderModels, readyText, searchModels } from "../../../services/imagegateway/media/web/page/model_search.js";
import { amountText, costText, priceText, sumText } from "../../../services/imagegateway/media/web/page/money.js";

const TODAY = "2026-11-29";

/** @param {string} id @param {object} facts */
function model(id, facts = {}) {
  return { id, owned_by: id.split("/")[0], modality: "image", capabilities: ["text_to_image"], ...facts };
}

const MODELS = [
  model("openai/dall-e-3", { retired_at: "2026-05-12", successor: "openai/gpt-image-2" }),
  model("openai/gpt-image-2", { capabilities: ["text_to_image", "image_to_image", "mask"], aliases: ["gpt-image-2"] }),
  model("local/sketch", { available: true }),
  model("bria/eraser", { available: true, capabilities: ["image_to_image", "mask"], routes: [{ name: "fal", mode: "async" }] }),
];

test("search matches every word by name, provider and capability", () => {
  const found = (/** @type {string} */ query) => searchModels(MODELS, query).map(({ id }) => id);
  assert.deepEqual(found("mask gpt"), ["openai/gpt-image-2"]);
  assert.deepEqual(found("FAL"), ["bria/eraser"]);
  assert.deepEqual(found("edits"), ["openai/gpt-image-2", "bria/eraser"]);
  assert.deepEqual(found("  "), MODELS.map(({ id }) => id));
});

test("the default comes first, then ready models, then models without a key, then retired ones", () => {
  const ids = orderModels(MODELS, "local/sketch", TODAY).map(({ id }) => id);
  assert.deepEqual(ids, ["local/sketch", "bria/eraser", "openai/gpt-image-2", "openai/dall-e-3"]);
});

test("the end of life names date and successor, past or announced", () => {
  assert.equal(endOfLife(MODELS[0], TODAY), "Retired on 2026-05-12. Successor: openai/gpt-image-2.");
  assert.equal(endOfLife({ ...MODELS[1], retired_at: "2026-12-01" }, TODAY), "Retires on 2026-12-01.");
  assert.equal(endOfLife(MODELS[1], TODAY), "");
});

test("the number of ready models counts available ones only", () => {
  assert.equal(readyText(MODELS), "2 of 4 models ready");
});

test("a model is slow when the route that serves it is", () => {
  const routes = [{ name: "a", mode: "inline", available: false }, { name: "b", mode: "async", available: true }];
  assert.equal(isSlow(model("x/y", { routes })), true);
  assert.equal(isSlow(model("x/y", { routes: [{ name: "a", mode: "inline" }] })), false);
});

test("small amounts keep two significant digits", () => {
  assert.equal(amountText(1234.5), "$1,234.50");
  assert.equal(amountText(0.00125), "$0.0013");
  assert.equal(amountText(0.04), "$0.04");
  assert.equal(amountText(0), "$0.00");
});

test("costs say whether they are estimates", () => {
  assert.equal(costText({ amount: 0.04, currency: "USD", estimated: true }), "about $0.04");
  assert.equal(costText({ amount: 0, currency: "USD" }), "free");
  assert.equal(costText(undefined), "");
});

test("prices name their unit", () => {
  assert.equal(priceText({ currency: "USD", unit: "second", amount: 0.15, estimate: 1.2 }), "$0.15 per second");
  assert.equal(priceText({ currency: "USD", unit: "million_tokens", amount: 40, estimate: 0.06 }), "About $0.06 per image");
  assert.equal(priceText({ currency: "USD", unit: "image", amount: 0, estimate: 0 }), "Free");
  assert.equal(priceText(undefined), "Price unknown");
});

test("a sum says which prices are unknown", () => {
  const cost = (/** @type {number} */ amount) => ({ amount, currency: "USD" });
  assert.equal(sumText([cost(0.04), cost(0.02)]), "about $0.06");
  assert.equal(sumText([cost(0), undefined]), "nothing, and the price of one model is unknown");
  assert.equal(sumText([undefined]), "an unknown price");
});
