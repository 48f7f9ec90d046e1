// @ts-check
/** Geometry of bar charts: scales and rectangles, without a document. */

/**
 * Return the ticks of an axis from 0 to at least `largest`, in steps of 1, 2 or 5 times a power of ten.
 * @param {number} largest
 * @param {number} [count] Number of steps, about.
 * @returns {number[]}
 */
export function axisTicks(largest, count = 4) {
  if (!(largest > 0)) return [0, 1];
  const rough = largest / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (/** @type {number} */ ([1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9))));
  const steps = Math.ceil(largest / step - 1e-9);
  return Array.from({ length: steps + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

/** @typedef {{series: number, index: number, x: number, y: number, width: number, height: number}} Bar */

/**
 * Return the rectangles of stacked columns, one column for each index. The first series is at the bottom.
 * @param {number[][]} series Values by series, then by index; none negative.
 * @param {{width: number, height: number, top: number}} area Size in units of the drawing; `top` is the value at its upper edge.
 * @returns {Bar[]}
 */
export function stackedColumns(series, area) {
  const count = series[0]?.length ?? 0;
  const slot = area.width / Math.max(count, 1);
  const width = slot * (count > 40 ? 0.9 : 0.72);
  /** @type {Bar[]} */
  const bars = [];
  for (let index = 0; index < count; index += 1) {
    let y = area.height;
    series.forEach((values, number) => {
      const height = (values[index] / area.top) * area.height;
      if (height <= 0) return;
      y -= height;
      bars.push({ series: number, index, x: index * slot + (slot - width) / 2, y, width, height });
    });
  }
  return bars;
}

/**
 * Return the largest sum of a column.
 * @param {number[][]} series
 */
export function largestColumn(series) {
  const count = series[0]?.length ?? 0;
  let largest = 0;
  for (let index = 0; index < count; index += 1) {
    largest = Math.max(largest, series.reduce((sum, values) => sum + values[index], 0));
  }
  return largest;
}

/**
 * Return the indexes of the columns that get a label: the first, the last, and some between.
 * @param {number} count
 * @param {number} most
 */
export function labelled(count, most) {
  if (count <= most) return Array.from({ length: count }, (_, index) => index);
  return Array.from({ length: most }, (_, index) => Math.round((index * (count - 1)) / (most - 1)));
}
