// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { axisTicks, labelled, largestColumn, stackedColumns } from "../../../services/imagegateway/media/web/page/chart_geometry.js";
import { dailySeries, lastDays, totalsBy } from "../../../services/imagegateway/media/web/page/usage_report.js";

const DAYS = ["2026-11-28", "2026-11-29"];
const ROWS = [
  { day: DAYS[0], model: "a", requests: 1, images: 2, failed: 0, cost: { amount: 1, currency: "USD" } },
  { day: DAYS[1], model: "a", requests: 1, images: 1, failed: 1, cost: { amount: 2, currency: "USD" } },
  { day: DAYS[1], model: "b", requests: 4, images: 4, failed: 0, cost: { amount: 0.5, currency: "USD" } },
  { day: DAYS[1], model: "", requests: 1, images: 1, failed: 0, cost: { amount: 0.25, currency: "USD" } },
  { day: "2026-01-01", model: "a", requests: 9, images: 9, failed: 0, cost: { amount: 9, currency: "USD" } },
];

test("ticks are round numbers that cover the largest value", () => {
  assert.deepEqual(axisTicks(9), [0, 5, 10]);
  assert.deepEqual(axisTicks(0.011), [0, 0.005, 0.01, 0.015]);
  assert.deepEqual(axisTicks(0.3), [0, 0.1, 0.2, 0.3]);
  assert.deepEqual(axisTicks(0), [0, 1]);
});

test("columns stack from the bottom and fill their height", () => {
  const bars = stackedColumns([[1, 0], [3, 4]], { width: 100, height: 40, top: 4 });
  assert.deepEqual(bars.map(({ series, index, y, height }) => [series, index, y, height]), [
    [0, 0, 30, 10],
    [1, 0, 0, 30],
    [1, 1, 0, 40],
  ]);
  assert.equal(largestColumn([[1, 0], [3, 4]]), 4);
});

test("labels include the first and the last column", () => {
  assert.deepEqual(labelled(3, 5), [0, 1, 2]);
  assert.deepEqual(labelled(30, 4), [0, 10, 19, 29]);
});

test("daily series name the largest values and sum up the others", () => {
  assert.deepEqual(dailySeries(ROWS, "model", "cost", DAYS, 1), [
    { name: "a", values: [1, 2], total: 3 },
    { name: "other", values: [0, 0.75], total: 0.75 },
  ]);
});

test("totals add up all days of a value", () => {
  const [first, second] = totalsBy(ROWS, "model", "images");
  assert.deepEqual([first.name, first.value, first.failed, first.cost], ["a", 12, 1, 12]);
  assert.equal(second.name, "b");
  assert.equal(totalsBy(ROWS, "model", "images")[2].name, "none");
});

test("the last days end today, in UTC", () => {
  assert.deepEqual(lastDays(2, new Date("2026-11-29T23:30:00Z")), DAYS);
});
