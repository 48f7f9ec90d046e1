// @ts-check
/** View: one prompt, several models, their images side by side. */

import { ApiError } from "./api.js";
import { pathOf } from "./api_request.js";
import { announce, el, fill } from "./dom.js";
import { ModelPicker } from "./model_picker.js";
import { modelsFor } from "./models.js";
import { costText, sumText } from "./money.js";
import { planOf } from "./plan.js";
import { Run } from "./run.js";
import { RunCard } from "./run_card.js";

/** @typedef {import("./models.js").Model} Model */

/** As many as there are event streams in `run.js`. More columns would be too narrow to compare, too. */
const MOST_MODELS = 4;
const DELAY_MS = 400;
const SHAPES = ["1:1", "3:2", "2:3", "16:9", "9:16"];

/** @type {CompareView | undefined} */
let view;

/** @type {import("./router.js").ViewModule["mount"]} */
export function mount(root, context) {
  view ??= new CompareView(context.state.value.models);
  root.append(view.element);
  view.refresh();
  return { unmount: () => {} };
}

/** Form and results. Both stay while other views are shown. */
class CompareView {
  /** @param {Model[]} all */
  constructor(all) {
    this.models = modelsFor(all, "generate").filter((model) => model.available && model.modality === "image");
    const usual = this.models.filter(({ default_for }) => default_for?.includes("generate"));
    this.chosen = [...new Set([...usual, ...this.models])].slice(0, 2);
    this.timer = 0;
    this.asked = new AbortController();
    this.prompt = el("textarea", { rows: 3, required: true, placeholder: "A lighthouse at dusk, long shadows on the sand" });
    this.shape = el("select", {}, el("option", { value: "" }, "Each model's own"), SHAPES.map((shape) => el("option", {}, shape)));
    this.names = el("ul", { class: "chosen-models" });
    this.picker = new ModelPicker({ label: "Add a model", models: this.models, selected: "", defaultId: usual[0]?.id, onChange: (id) => this.add(id) });
    this.cost = el("p", { class: "hint", role: "status" });
    this.problem = el("p", { class: "message bad", role: "alert", hidden: true });
    this.button = el("button", { class: "button primary", type: "submit" }, "Compare");
    this.results = el("div", { class: "comparisons" });
    const form = el(
      "form",
      {
        class: "card compare-form",
        novalidate: true,
        on: {
          submit: (/** @type {Event} */ event) => this.onSubmit(event),
          change: () => this.refresh(),
          keydown: (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat && this.onSubmit(event),
        },
      },
      el("label", { class: "field" }, el("span", { class: "name" }, "Prompt"), this.prompt),
      el(
        "div",
        { class: "pairs wide" },
        this.picker.element,
        el("label", { class: "field" }, el("span", { class: "name" }, "Shape"), this.shape),
      ),
      this.names,
      this.problem,
      el("div", { class: "actions" }, this.button, this.cost),
    );
    this.element = el("div", { class: "stack" }, el("h1", {}, "Compare"), form, this.results);
    this.showNames();
  }

  /** @param {string} id */
  add(id) {
    this.picker.show({ selected: "" });
    const model = this.models.find((each) => each.id === id);
    if (!model || this.chosen.includes(model)) return;
    if (this.chosen.length === MOST_MODELS) return this.refuse(`At most ${MOST_MODELS} models at once.`);
    this.chosen = [...this.chosen, model];
    this.showNames();
    this.refresh();
  }

  /** @param {Model} model */
  remove(model) {
    this.chosen = this.chosen.filter((each) => each !== model);
    this.showNames();
    this.refresh();
    announce(`${model.id} removed`);
  }

  showNames() {
    fill(
      this.names,
      this.chosen.map((model) =>
        el(
          "li",
          {},
          el("button", { class: "chip", type: "button", "aria-label": `Remove ${model.id}`, on: { click: () => this.remove(model) } }, model.id, el("span", { "aria-hidden": "true" }, "×")),
        ),
      ),
    );
    this.button.disabled = this.chosen.length === 0;
  }

  /** @param {string} text Empty: no problem. */
  refuse(text) {
    this.problem.textContent = text;
    this.problem.hidden = !text;
  }

  /** Return the fields of a model's request. @param {Model} model */
  fields(model) {
    return { model: model.id, prompt: this.prompt.value.trim() || "an image", ...(this.shape.value ? { aspect_ratio: this.shape.value } : {}) };
  }

  /** Show the sum of the expected costs soon. */
  refresh() {
    this.refuse("");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.estimate(), DELAY_MS);
  }

  async estimate() {
    this.asked.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    try {
      const plans = await Promise.all(this.chosen.map((model) => planOf(pathOf("generate", model), this.fields(model), signal)));
      this.cost.textContent = plans.length ? `Costs ${sumText(plans.map((plan) => plan.estimated_cost))}.` : "Choose a model.";
      this.cost.classList.remove("bad");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.cost.textContent = error.message;
      this.cost.classList.add("bad");
    }
  }

  /** @param {Event} event */
  onSubmit(event) {
    event.preventDefault();
    if (!this.chosen.length || this.button.disabled) return;
    if (!this.prompt.value.trim()) {
      this.refuse("Write a prompt.");
      return this.prompt.focus();
    }
    this.refuse("");
    this.run();
  }

  /** Make one job for each chosen model, and show them beside each other. */
  async run() {
    this.button.disabled = true;
    const cards = this.chosen.map((model) => {
      const fields = this.fields(model);
      const run = new Run({ path: pathOf("generate", model), body: () => fields });
      const card = new RunCard(run, { prompt: model.id, model: model.id, count: 1, shape: this.shape.value || undefined });
      return { run, card };
    });
    const comparison = el(
      "section",
      { class: "comparison", "aria-label": this.prompt.value },
      el("h2", {}, this.prompt.value),
      el("div", { class: "columns" }, cards.map(({ card }) => card.element)),
    );
    this.results.prepend(comparison);
    comparison.scrollIntoView({ block: "nearest", behavior: "smooth" });
    await Promise.all(cards.map(({ run }) => toEnd(run)));
    this.button.disabled = this.chosen.length === 0;
    announce(`Comparison done: ${costs(cards.map(({ run }) => run))}`);
  }
}

/** Submit and follow a run. The card shows a refusal. @param {Run} run */
async function toEnd(run) {
  try {
    await run.submit();
  } catch (error) {
    if (error instanceof ApiError) return;
    throw error;
  }
  await run.follow();
}

/** @param {Run[]} runs */
function costs(runs) {
  return runs.map(({ job }) => costText(job?.cost)).filter(Boolean).join(", ");
}
