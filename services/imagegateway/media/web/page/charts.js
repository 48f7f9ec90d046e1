// @ts-check
/** Column chart of daily numbers, as SVG with a legend and the same numbers as a table. */

import { axisTicks, labelled, largestColumn, stackedColumns } from "./chart_geometry.js";
import { el, fill, svg } from "./dom.js";
import { scrollTable } from "./scroll_table.js";

/**
 * @typedef {object} ChartData
 * @property {string} title
 * @property {string[]} labels One for each column.
 * @property {import("./usage_report.js").Series[]} series From the bottom up.
 * @property {(value: number) => string} format
 */

const HEIGHT = 220;
const MARGIN = { left: 58, right: 6, top: 8, bottom: 24 };
const LABEL_WIDTH = 64;

/**
 * Return a chart that fills the width of its container.
 * @param {ChartData} data
 */
export function columnChart(data) {
  const drawing = el("div", { class: "drawing" });
  const observer = new ResizeObserver(([entry]) => fill(drawing, draw(data, Math.max(240, entry.contentRect.width))));
  observer.observe(drawing);
  return el("figure", { class: "chart" }, drawing, legend(data), table(data));
}

/** @param {ChartData} data @param {number} width Pixels. */
function draw(data, width) {
  const values = data.series.map((series) => series.values);
  const ticks = axisTicks(largestColumn(values));
  const top = ticks[ticks.length - 1];
  const area = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom, top };
  /** @param {number} value */
  const yOf = (value) => MARGIN.top + area.height * (1 - value / top);
  const slot = area.width / data.labels.length;
  const grid = ticks.map((tick) => [
    svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: yOf(tick), y2: yOf(tick) }),
    svg("text", { x: MARGIN.left - 8, y: yOf(tick) + 4, "text-anchor": "end" }, data.format(tick)),
  ]);
  const bars = stackedColumns(values, area).map(({ series, index, x, y, width: breadth, height }) =>
    svg(
      "rect",
      { class: `series-${series}`, x: MARGIN.left + x, y: MARGIN.top + y, width: breadth, height },
      svg("title", {}, `${data.labels[index]}, ${data.series[series].name}: ${data.format(values[series][index])}`),
    ),
  );
  const names = labelled(data.labels.length, Math.max(2, Math.floor(area.width / LABEL_WIDTH))).map((index, place, all) =>
    svg(
      "text",
      {
        x: MARGIN.left + slot * (index + 0.5),
        y: HEIGHT - 6,
        "text-anchor": place === all.length - 1 && all.length > 1 ? "end" : "middle",
      },
      data.labels[index].slice(5),
    ),
  );
  const summary = `${data.title}, ${data.labels[0]} to ${data.labels[data.labels.length - 1]}`;
  return svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": summary }, grid, bars, names);
}

/** @param {ChartData} data */
function legend(data) {
  return el(
    "ul",
    { class: "legend" },
    data.series.map((series, index) =>
      el(
        "li",
        {},
        svg("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("rect", { class: `series-${index}`, width: 10, height: 10, rx: 3 })),
        `${series.name} `,
        el("span", { class: "soft" }, data.format(series.total)),
      ),
    ),
  );
}

/** @param {ChartData} data */
function table(data) {
  const head = ["Day", ...data.series.map(({ name }) => name)];
  const rows = data.labels.map((label, index) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, label),
      data.series.map(({ values }) => el("td", { class: "number" }, data.format(values[index]))),
    ),
  );
  return el(
    "details",
    {},
    el("summary", {}, "Numbers"),
    scrollTable(`${data.title}, numbers`, head.map((name) => el("th", { scope: "col" }, name)), el("tbody", {}, rows)),
  );
}
