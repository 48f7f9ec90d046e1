// @ts-check
/** Form of a request: model, prompt, images and mask of an edit, and every option that the model takes. */

import { ByokControl } from "./byok_control.js";
import { el, fill } from "./dom.js";
import { FieldControl } from "./field_controls.js";
import { effective, fieldsOf, limitsOf, valuesOf } from "./fields.js";
import { InputImages } from "./input_images.js";
import { MaskControl } from "./mask_control.js";
import { ModelPicker } from "./model_picker.js";
import { modelNotice } from "./model_facts.js";
import { modelsFor } from "./models.js";

/** @typedef {import("./models.js").Model} Model */
/** @typedef {import("./models.js").Task} Task */
/** @typedef {{showError: (text: string) => void, focus: () => void, element: HTMLElement}} Place where an error is shown */

const PLACEHOLDERS = { generate: "A lighthouse at dusk, long shadows on the sand", edit: "Make the sky stormy" };

export class RequestForm {
  /**
   * @param {Task} task @param {Model[]} models
   * @param {{onChange: () => void, onSubmit: () => void}} events
   */
  constructor(task, models, { onChange, onSubmit }) {
    this.task = task;
    this.memory = `imagegateway.form.${task}`;
    this.models = modelsFor(models, task);
    this.onChange = onChange;
    const usual = this.models.find(({ default_for }) => default_for?.includes(task));
    this.model = usual ?? this.models[0];
    /** @type {FieldControl[]} */
    this.controls = [];
    /** @type {Record<string, any>} Values of fields that the present model lacks, too, for the next model. */
    this.values = {};
    this.picker = new ModelPicker({ label: "Model", models: this.models, selected: this.model?.id ?? "", defaultId: usual?.id, onChange: (id) => this.chooseModel(id) });
    this.notice = el("div", { class: "model-notice" });
    this.prompt = el("textarea", { id: `${task}-prompt`, placeholder: PLACEHOLDERS[task], rows: 4, on: { input: () => this.changed() } });
    this.promptHint = el("span", { class: "hint", id: `${task}-prompt-hint` });
    this.prompt.setAttribute("aria-describedby", this.promptHint.id);
    this.mask = new MaskControl(() => this.changed());
    this.images = new InputImages(() => this.imagesChanged());
    this.byok = new ByokControl(() => this.changed());
    this.main = el("div", { class: "fields" });
    this.more = el("div", { class: "fields" });
    this.moreBox = el("details", { class: "more" }, el("summary", {}, "More options"), this.more);
    this.button = el("button", { class: "button primary go", type: "submit", on: { click: onlyFirstClick } });
    this.submitHint = el("p", { class: "hint" }, "Ctrl + Enter");
    this.after = el("div", { class: "stack" });
    this.element = el(
      "form",
      { class: "card request", novalidate: true, autocomplete: "off", on: { submit: (/** @type {Event} */ event) => this.submit(event, onSubmit), keydown: (/** @type {KeyboardEvent} */ event) => this.onKey(event, onSubmit) } },
      this.picker.element,
      this.notice,
      task === "edit" && [this.images.element, this.mask.element],
      el("div", { class: "field", "data-field": "prompt" }, el("label", { class: "name", for: this.prompt.id }, "Prompt"), this.prompt, this.promptHint),
      this.main,
      this.moreBox,
      el("div", { class: "submit" }, this.button, this.submitHint),
      this.after,
    );
    this.showBusy(false);
    this.showModel();
  }

  /** Fill the form as it was before a reload of this tab. Images and provider keys are not kept. */
  restore() {
    const kept = sessionStorage.getItem(this.memory);
    if (kept) this.fillFrom(JSON.parse(kept));
  }

  /** @param {string} id */
  chooseModel(id) {
    const model = this.models.find((each) => each.id === id);
    if (!model || model === this.model) return;
    this.keepValues();
    this.model = model;
    this.picker.show({ selected: id });
    this.showModel();
    this.changed();
  }

  /** Show the fields of the chosen model. Values that it can take stay. */
  showModel() {
    if (!this.model) return;
    const limits = limitsOf(this.model, this.task);
    const fields = fieldsOf(this.model, this.task);
    const values = valuesOf(fields, this.values);
    this.controls = fields.map((field) => new FieldControl(field, () => this.changed()));
    for (const control of this.controls) control.value = values[control.field.name];
    fill(this.notice, modelNotice(this.model));
    fill(this.main, this.controls.filter(({ field }) => field.main).map(({ element }) => element));
    this.byok.show(this.model);
    fill(this.more, this.controls.filter(({ field }) => !field.main).map(({ element }) => element), this.byok.element);
    this.moreBox.hidden = this.controls.every(({ field }) => field.main) && this.byok.element.hidden;
    this.prompt.maxLength = limits.max_prompt_length;
    this.images.limit(limits.max_input_images ?? 1);
    this.showMask();
    this.showPromptError("");
    this.showEffects();
  }

  /** Hide fields without an effect beside the other values. */
  showEffects() {
    const values = this.fieldValues();
    for (const { element, field } of this.controls) element.hidden = Boolean(field.when && !field.when(values));
  }

  showMask() {
    const takesMask = this.model.capabilities.includes("mask");
    this.mask.show(takesMask ? (this.images.images[0] ?? null) : null);
  }

  imagesChanged() {
    this.showMask();
    this.changed();
  }

  changed() {
    this.showPromptError("");
    this.showEffects();
    sessionStorage.setItem(this.memory, JSON.stringify(this.fields()));
    this.onChange();
  }

  fieldValues() {
    return Object.fromEntries(this.controls.map((control) => [control.field.name, control.value]));
  }

  keepValues() {
    Object.assign(this.values, effective(this.controls.map(({ field }) => field), this.fieldValues()));
  }

  /** Return the fields of the request without images, as the API spells them. @returns {Record<string, any>} */
  fields() {
    const prompt = this.prompt.value.trim();
    const options = effective(this.controls.map(({ field }) => field), this.fieldValues());
    return { model: this.model.id, ...(prompt ? { prompt } : {}), ...options };
  }

  /** Return all that a call needs, as the form stands now. */
  snapshot() {
    const images = [...this.images.images];
    return { fields: this.fields(), model: this.model, images, mask: this.mask.element.hidden ? null : this.mask.mask, headers: this.byok.headers };
  }

  /** Fill the form from the fields of a request. @param {Record<string, any>} request */
  fillFrom(request) {
    this.values = { ...request };
    this.prompt.value = request.prompt ?? "";
    this.model = this.models.find(({ id }) => id === request.model) ?? this.model;
    this.picker.show({ selected: this.model.id });
    this.showModel();
    this.changed();
  }

  /** Return the place of a field that the API names, or of the field that lacks a value. @param {string} param @returns {Place | null} */
  placeOf(param) {
    const name = param.split(/[.[]/)[0];
    if (name === "prompt") return { element: this.prompt, showError: (text) => this.showPromptError(text), focus: () => this.prompt.focus() };
    if (/^(image|images|image_url)$/.test(name)) return this.task === "edit" ? this.images : null;
    if (/^mask/.test(name)) return this.mask;
    if (/^x-byok-/i.test(name)) return this.byok;
    return this.controls.find(({ field }) => field.name === (name === "aspect_ratio" ? "size" : name)) ?? null;
  }

  /** Show an error at its field. Return whether the form has the field. @param {string} param @param {string} text */
  showErrorAt(param, text) {
    const place = this.placeOf(param);
    if (!place) return false;
    if (this.more.contains(place.element)) this.moreBox.open = true;
    place.showError(text);
    place.focus();
    return true;
  }

  /** Show what the form lacks, and return whether it is complete. */
  check() {
    const limits = limitsOf(this.model, this.task);
    if (this.task === "edit" && !this.images.images.length) return !this.showErrorAt("image", "Add an image to edit.");
    if (limits.prompt_required && !this.prompt.value.trim()) return !this.showErrorAt("prompt", "Write a prompt.");
    return this.images.images.length <= this.images.max || this.task !== "edit";
  }

  /** @param {boolean} busy */
  showBusy(busy) {
    this.button.disabled = busy;
    this.button.textContent = busy ? "Sending …" : this.task === "edit" ? "Edit" : "Generate";
  }

  /** @param {string} text */
  showPromptError(text) {
    this.promptHint.classList.toggle("bad", Boolean(text));
    this.promptHint.textContent = text;
    this.promptHint.hidden = !text;
    this.prompt.toggleAttribute("aria-invalid", Boolean(text));
  }

  /** @param {Event} event @param {() => void} onSubmit */
  submit(event, onSubmit) {
    event.preventDefault();
    onSubmit();
  }

  /** @param {KeyboardEvent} event @param {() => void} onSubmit */
  onKey(event, onSubmit) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!event.repeat) onSubmit();
  }
}

/** Ignore the second click of a double click, which may come after the response to the first. @param {MouseEvent} event */
function onlyFirstClick(event) {
  if (event.detail > 1) event.preventDefault();
}
