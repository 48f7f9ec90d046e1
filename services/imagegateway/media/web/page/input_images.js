// @ts-check
/** Control of an edit's images: dropped, pasted or picked. The first one takes the mask. */

import { el, fill } from "./dom.js";
import { PICKABLE, inputImage } from "./input_files.js";

/** @typedef {import("./input_files.js").InputImage} InputImage */

export class InputImages {
  /** @param {() => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    /** @type {InputImage[]} */
    this.images = [];
    this.max = 1;
    this.picker = el("input", { type: "file", id: "input-files", accept: PICKABLE, multiple: true, class: "unseen", on: { change: () => this.onPick() } });
    this.list = el("ul", { class: "input-list", "aria-label": "Input images" });
    this.drop = el("label", { class: "drop", for: "input-files" }, el("strong", {}, "Drop, paste or pick images"), el("span", { class: "hint" }));
    this.message = el("p", { class: "hint bad", role: "alert", hidden: true });
    this.element = el("div", { class: "field inputs", "data-field": "image" }, el("span", { class: "name" }, "Input images"), this.list, this.picker, this.drop, this.message);
    this.show();
  }

  /** Set how many images the model takes. @param {number} max */
  limit(max) {
    this.max = max;
    this.show();
  }

  async onPick() {
    const files = [...(this.picker.files ?? [])];
    this.picker.value = "";  // the same file may be picked again
    await this.take(files);
  }

  /** Add files. A model that takes one image gets the newest one. @param {File[]} files */
  async take(files) {
    if (!files.length) return;
    this.showError("");
    /** @type {InputImage[]} */
    const taken = [];
    for (const file of files) {
      try {
        taken.push(await inputImage(file));
      } catch (error) {
        this.showError(/** @type {Error} */ (error).message);
      }
    }
    if (taken.length) this.replace(this.max === 1 ? [taken[0]] : [...this.images, ...taken]);
  }

  /** @param {InputImage[]} images */
  replace(images) {
    this.images = images;
    this.show();
    this.onChange();
  }

  /** @param {string} text */
  showError(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  focus() {
    this.picker.focus();
  }

  show() {
    fill(this.list, this.images.map((image, index) => this.item(image, index)));
    this.list.hidden = !this.images.length;
    const hint = this.drop.querySelector(".hint");
    if (hint) hint.textContent = this.max === 1 ? "PNG, JPEG or WebP. The model takes one image." : `PNG, JPEG or WebP. The model takes up to ${this.max} images.`;
    const surplus = this.images.length - this.max;
    this.showError(surplus > 0 ? `The model takes ${this.max} images at most: remove ${surplus}.` : "");
  }

  /** @param {InputImage} image @param {number} index */
  item(image, index) {
    const url = URL.createObjectURL(image.blob);
    const loaded = () => URL.revokeObjectURL(url);
    const remove = () => this.replace(this.images.filter((other) => other !== image));
    return el(
      "li",
      {},
      el("img", { src: url, alt: `Input ${index + 1}: ${image.name}`, on: { load: loaded } }),
      el("span", { class: "hint" }, `${image.width} × ${image.height}`),
      el("button", { class: "button small quiet", type: "button", "aria-label": `Remove input ${index + 1}`, on: { click: remove } }, "Remove"),
    );
  }
}
