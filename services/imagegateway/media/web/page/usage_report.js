// @ts-check
/** Series of usage for charts, from the rows of `GET /v1/usage`. */

/** @typedef {{requests?: number, images?: number, failed?: number, cost?: {amount?: number, currency: string}, [group: string]: any}} UsageRow */
/** @typedef {"cost" | "images" | "requests" | "failed"} Measure */
/** @typedef {{name: string, values: number[], total: number}} Series */

/** Name of the series that sums up all but the largest ones. */
export const OTHER = "other";
/** Name of rows without a value in the grouped field. */
const NONE = "none";

/**
 * Return a row's number.
 * @param {UsageRow} row
 * @param {Measure} measure
 */
export function measured(row, measure) {
  return (measure === "cost" ? row.cost?.amount : row[measure]) ?? 0;
}

/**
 * Return the days of a period, the last one today.
 * @param {number} count
 * @param {Date} today
 * @returns {string[]} Days, `YYYY-MM-DD` in UTC.
 */
export function lastDays(count, today) {
  return Array.from({ length: count }, (_, index) => {
    const day = new Date(today.getTime());
    day.setUTCDate(day.getUTCDate() - (count - 1 - index));
    return day.toISOString().slice(0, 10);
  });
}

/**
 * Return one series of daily numbers for each value of a field: the largest ones, and the sum of the others.
 * @param {UsageRow[]} rows Rows grouped by `day` and the field.
 * @param {string} field
 * @param {Measure} measure
 * @param {string[]} days
 * @param {number} most Number of named series.
 * @returns {Series[]}
 */
export function dailySeries(rows, field, measure, days, most) {
  /** @type {Map<string, Series>} */
  const series = new Map();
  for (const row of rows) {
    const index = days.indexOf(row.day);
    if (index < 0) continue;
    const name = row[field] || NONE;
    const known = series.get(name) ?? { name, values: days.map(() => 0), total: 0 };
    known.values[index] += measured(row, measure);
    known.total += measured(row, measure);
    series.set(name, known);
  }
  const sorted = [...series.values()].sort((a, b) => b.total - a.total || a.name.localeCompare(b.name));
  const rest = sorted.slice(most);
  if (rest.length === 0) return sorted;
  const other = {
    name: OTHER,
    values: days.map((_, index) => rest.reduce((sum, item) => sum + item.values[index], 0)),
    total: rest.reduce((sum, item) => sum + item.total, 0),
  };
  return [...sorted.slice(0, most), other];
}

/**
 * Return the sums of each value of a field, the largest first.
 * @param {UsageRow[]} rows
 * @param {string} field
 * @param {Measure} measure
 */
export function totalsBy(rows, field, measure) {
  /** @type {Map<string, {name: string, value: number, requests: number, images: number, failed: number, cost: number}>} */
  const totals = new Map();
  for (const row of rows) {
    const name = row[field] || NONE;
    const sum = totals.get(name) ?? { name, value: 0, requests: 0, images: 0, failed: 0, cost: 0 };
    sum.value += measured(row, measure);
    for (const each of /** @type {const} */ (["requests", "images", "failed", "cost"])) sum[each] += measured(row, each);
    totals.set(name, sum);
  }
  return [...totals.values()].sort((a, b) => b.value - a.value || a.name.localeCompare(b.name));
}
