// @ts-check
/** Workbench of a task: the form beside its runs. Both stay while other views are shown. */

import { ApiError } from "./api.js";
import { editForm, pathOf } from "./api_request.js";
import { CostEstimate } from "./cost_estimate.js";
import { el } from "./dom.js";
import { listenForImages } from "./input_files.js";
import { isSlow } from "./model_search.js";
import { RequestForm } from "./request_form.js";
import { Run } from "./run.js";
import { RunCard } from "./run_card.js";
import { SnippetPanel } from "./snippet_panel.js";

/** @typedef {import("./models.js").Task} Task */

export class Workbench {
  /**
   * @param {Task} task @param {import("./main.js").Context} context
   * @param {(workbench: Workbench) => HTMLElement} emptyState shown until the first run
   */
  constructor(task, context, emptyState) {
    this.task = task;
    this.context = context;
    this.isSending = false;
    this.shown = new AbortController();
    this.form = new RequestForm(task, context.state.value.models, { onChange: () => this.refresh(), onSubmit: () => this.run() });
    this.cost = new CostEstimate(() => this.plannedRequest());
    this.snippets = new SnippetPanel(() => this.apiCall());
    this.form.restore();
    this.form.after.append(this.cost.element, this.snippets.element);
    this.empty = emptyState(this);
    const title = el("h1", { class: "unseen" }, task === "edit" ? "Edit images" : "Generate images");
    this.runs = el("section", { class: "runs", "aria-label": "Runs" }, this.empty);
    this.element = el("div", { class: "workbench" }, title, this.form.element, this.runs);
  }

  /** Take over what another view has left for this one, and bring estimate and snippets up to date. */
  open() {
    const { draft, inputs } = this.context.state.value;
    if (draft) this.form.fillFrom(draft);
    if (inputs.length) this.form.images.take(inputs);
    this.context.state.set({ draft: null, inputs: [] });
    this.shown = new AbortController();
    listenForImages((files) => this.takeInputs(files), this.shown.signal);
    this.refresh();
  }

  close() {
    this.shown.abort();
    this.cost.close();
  }

  refresh() {
    this.cost.refresh();
    this.snippets.refresh();
  }

  /** Submit the form's request once, and follow its job. */
  async run() {
    if (this.isSending || !this.form.check()) return;
    const run = new Run(this.request());
    const { fields, model, images } = this.form.snapshot();
    const card = new RunCard(run, {
      prompt: fields.prompt ?? "",
      model: model.id,
      count: fields.n ?? 1,
      shape: fields.aspect_ratio ?? fields.size ?? (images[0] && `${images[0].width}x${images[0].height}`),
      inputs: images.map(({ blob }) => blob),
      onUse: (file) => this.use(file),
    });
    this.empty.remove();
    this.runs.prepend(card.element);
    card.element.scrollIntoView({ block: "nearest", behavior: "smooth" });
    this.showSending(true);
    try {
      await run.submit();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.param && this.form.showErrorAt(error.param, error.message)) card.element.remove();
      return;
    } finally {
      this.showSending(false);
    }
    await run.follow();
  }

  /** Return the call of the form as it stands now. @returns {import("./run.js").RunRequest} */
  request() {
    const { fields, model, images, mask, headers } = this.form.snapshot();
    const body = this.task === "edit" ? () => editForm(fields, images.map(({ blob }) => blob), mask) : () => fields;
    return { path: pathOf(this.task, model), body, headers };
  }

  /** Return the call whose cost the form shows. @returns {import("./cost_estimate.js").PlannedRequest | null} */
  plannedRequest() {
    const { fields, model, images, mask, headers } = this.form.snapshot();
    if (!model || (this.task === "edit" && !images.length)) return null;
    const planned = { ...fields, prompt: fields.prompt || "an image" };
    const body = this.task === "edit" ? editForm(planned, images.map(({ blob }) => blob), mask) : planned;
    const sizes = images.map(({ width, height }) => `${width}x${height}`);
    const key = JSON.stringify([{ ...planned, prompt: "" }, sizes, Boolean(mask), Object.keys(headers)]);
    return { path: pathOf(this.task, model), body, headers, key };
  }

  /** @returns {import("./snippets.js").ApiCall} */
  apiCall() {
    const { fields, model, images, mask } = this.form.snapshot();
    const edit = this.task === "edit";
    return {
      operation: edit ? "edits" : "generations",
      fields: { prompt: "an image", ...fields },
      images: edit ? Math.max(1, images.length) : 0,
      mask: mask !== null,
      slow: isSlow(model),
      video: model.modality === "video",
      byok: this.form.byok.chosenRoute || undefined,
    };
  }

  /** Make a result the only input of an edit. @param {File} file */
  use(file) {
    if (this.task === "edit") this.form.images.replace([]);
    this.takeInputs([file]);
    this.form.element.scrollIntoView({ block: "start", behavior: "smooth" });
  }

  /** Take images for an edit, in the view that edits. @param {File[]} files */
  takeInputs(files) {
    if (this.task === "edit") return void this.form.images.take(files);
    this.context.state.set({ inputs: files });
    this.context.navigate("edit");
  }

  /** @param {boolean} sending */
  showSending(sending) {
    this.isSending = sending;
    this.form.showBusy(sending);
  }
}
