// @ts-check
/** Operator's view: usage and spend by day, model, key and tenant. */

import { columnChart } from "./charts.js";
import { el, fill } from "./dom.js";
import { amountText } from "./money.js";
import { allPages } from "./paged.js";
import { scrollTable } from "./scroll_table.js";
import { dailySeries, lastDays, measured, totalsBy } from "./usage_report.js";

/** @typedef {import("./usage_report.js").Measure} Measure */
/** @typedef {import("./usage_report.js").UsageRow} UsageRow */

const NAMED_SERIES = 6;
const LONGEST_LIST = 10;
/** @type {[number, string][]} */
const PERIODS = [[7, "7 days"], [30, "30 days"], [90, "90 days"]];
/** @type {[Measure, string][]} */
const MEASURES = [["cost", "Spend"], ["images", "Images and videos"], ["requests", "Requests"], ["failed", "Failures"]];
/** @type {[string, string, string][]} Field of rows, name in `group_by`, label. */
const GROUPS = [["model", "model", "Model"], ["key_id", "key", "Key"], ["tenant", "tenant", "Tenant"]];

/** Section with totals, a chart by day and bars by value. */
export class UsageSection {
  /** @param {AbortSignal} signal @param {(work: Promise<void>) => void} guard */
  constructor(signal, guard) {
    this.signal = signal;
    this.guard = guard;
    this.days = 30;
    /** @type {Measure} */
    this.measure = "cost";
    this.group = GROUPS[0];
    /** @type {UsageRow[]} */
    this.rows = [];
    /** @type {UsageRow} */
    this.total = {};
    /** @type {Map<string, string>} Names of keys by id. */
    this.keyNames = new Map();
    this.content = el("div", { class: "stack" });
    this.element = el(
      "section",
      { class: "stack", "aria-label": "Usage" },
      el(
        "div",
        { class: "filters" },
        this.select("Period", PERIODS, this.days, (days) => {
          this.days = days;
          this.load();
        }),
        this.select("Measure", MEASURES, this.measure, (measure) => {
          this.measure = measure;
          this.show();
        }),
        this.select("Group by", GROUPS.map((group) => [group, group[2]]), this.group, (group) => {
          this.group = group;
          this.load();
        }),
      ),
      this.content,
    );
  }

  /**
   * Return a labelled choice.
   * @template T @param {string} label @param {[T, string][]} options @param {T} chosen @param {(value: T) => void} onChange
   */
  select(label, options, chosen, onChange) {
    const change = () => onChange(options[element.selectedIndex][0]);
    const items = options.map(([value, text]) => el("option", { selected: value === chosen }, text));
    const element = el("select", { on: { change } }, items);
    return el("label", { class: "field" }, el("span", { class: "name" }, label), element);
  }

  /** @param {{id: string, name?: string}[]} keys */
  nameKeys(keys) {
    this.keyNames = new Map(keys.map(({ id, name }) => [id, name ? `${name} (${id})` : id]));
    this.show();
  }

  load() {
    this.guard(this.fetchRows());
  }

  async fetchRows() {
    const [start] = lastDays(this.days, new Date());
    const group = this.group;
    const query = { start, group_by: `day,${group[1]}`, page_size: "1000" };
    const { data, total } = await allPages("/v1/usage", query, this.signal);
    if (group !== this.group) return;  // another grouping was chosen meanwhile
    this.rows = data;
    this.total = total ?? {};
    this.show();
  }

  /** @param {number} value */
  format(value) {
    return this.measure === "cost" ? amountText(value) : value.toLocaleString("en-US");
  }

  show() {
    const [field, , label] = this.group;
    const rows = field === "key_id" ? this.rows.map((row) => ({ ...row, key_id: this.keyNames.get(row.key_id) ?? row.key_id })) : this.rows;
    const days = lastDays(this.days, new Date());
    const title = `${MEASURES.find(([measure]) => measure === this.measure)?.[1]} by day and ${label.toLowerCase()}`;
    const series = dailySeries(rows, field, this.measure, days, NAMED_SERIES);
    const format = this.format.bind(this);
    fill(
      this.content,
      this.tiles(),
      series.length === 0
        ? el("p", { class: "card section soft" }, "No job has ended in this period.")
        : el("div", { class: "card section" }, el("h2", {}, title), columnChart({ title, labels: days, series, format })),
      series.length > 0 && this.bars(rows, field, label),
    );
  }

  /** Return the sums of the period. */
  tiles() {
    return el(
      "dl",
      { class: "tiles" },
      MEASURES.map(([measure, label]) => {
        const value = measured(this.total, measure);
        const text = measure === "cost" ? amountText(value) : value.toLocaleString("en-US");
        return el("div", { class: "card tile" }, el("dt", {}, label), el("dd", {}, text));
      }),
    );
  }

  /** @param {UsageRow[]} rows @param {string} field @param {string} label */
  bars(rows, field, label) {
    const totals = totalsBy(rows, field, this.measure).slice(0, LONGEST_LIST);
    const largest = Math.max(...totals.map(({ value }) => value));
    const body = totals.map((total) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, total.name),
        el("td", { class: "bar-cell" }, el("progress", { max: largest || 1, value: total.value, "aria-label": `${total.name}: ${this.format(total.value)}` })),
        el("td", { class: "number" }, amountText(total.cost)),
        el("td", { class: "number" }, total.images.toLocaleString("en-US")),
        el("td", { class: "number" }, total.requests.toLocaleString("en-US")),
        el("td", { class: "number" }, total.failed.toLocaleString("en-US")),
      ),
    );
    const head = [label, "Share", "Spend", "Images", "Requests", "Failures"];
    return el(
      "div",
      { class: "card" },
      scrollTable(
        `Usage by ${label.toLowerCase()}`,
        head.map((name, index) => el("th", { scope: "col", class: index > 1 ? "number" : null }, name)),
        el("tbody", {}, body),
      ),
    );
  }
}
