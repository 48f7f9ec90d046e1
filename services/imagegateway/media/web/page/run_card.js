// @ts-check
/** Card of a run: status, progress, partial images, results beside their inputs, actions. */

import { ApiError } from "./api.js";
import { artifactFigure } from "./artifact_figure.js";
import { announce, el, fill } from "./dom.js";
import { durationText, isUnfinished, statusText, summaryOf } from "./job_facts.js";
import { localLink } from "./job_media.js";

/** @typedef {import("./run.js").Run} Run */

/**
 * @typedef {object} RunCardOptions
 * @property {string} prompt
 * @property {string} model
 * @property {number} count expected results
 * @property {string} [shape] `<width>x<height>` or `<w>:<h>` of the results, if known
 * @property {Blob[]} [inputs] images of an edit
 * @property {(file: File) => void} [onUse] called with a result that becomes an input
 */

/** Card that follows a run. */
export class RunCard {
  /** @param {Run} run @param {RunCardOptions} options */
  constructor(run, options) {
    this.run = run;
    this.options = options;
    this.shown = "";
    this.status = el("span", { class: "tag", role: "status" });
    this.facts = el("p", { class: "hint" });
    this.progress = el("progress", { max: 100, "aria-label": "Progress" });
    this.media = el("div", { class: "run-media" });
    this.notes = el("div", { class: "run-notes" });
    this.cancel = el("button", { class: "button small danger", type: "button", on: { click: () => this.onCancel() } }, "Cancel");
    this.element = el(
      "article",
      { class: "card run" },
      el("header", { class: "run-head" }, el("h2", {}, options.prompt || "No prompt"), this.status),
      this.facts,
      this.progress,
      this.media,
      this.notes,
      el("div", { class: "actions" }, this.cancel),
    );
    this.clock = setInterval(() => this.showFacts(), 1000);
    run.subscribe(() => this.update());
    this.update();
  }

  update() {
    const { job, error } = this.run;
    const unfinished = !this.run.ended;
    const status = this.statusLine();
    if (this.status.textContent !== status) this.status.textContent = status;
    this.status.className = `tag ${!unfinished && job?.status === "completed" ? "good" : error || job?.status === "failed" ? "bad" : unfinished && !this.run.reconnecting ? "" : "note"}`;
    this.showFacts();
    this.progress.hidden = !unfinished;
    if (job?.progress === undefined) this.progress.removeAttribute("value");
    else this.progress.value = job.progress;
    this.cancel.hidden = !unfinished;
    this.cancel.disabled = this.run.isCancelling;
    this.cancel.textContent = this.run.isCancelling ? "Cancelling …" : "Cancel";
    this.element.setAttribute("aria-busy", String(unfinished));
    this.showMedia();
    if (!unfinished) this.showEnd();
  }

  /** Show model, duration and cost. */
  showFacts() {
    const { job, ended, startedAt } = this.run;
    if (ended) clearInterval(this.clock);
    const facts = ended ? (job ? summaryOf(job) : []) : [durationText((Date.now() - startedAt) / 1000)];
    this.facts.textContent = [job?.model ?? this.options.model, ...facts].join(" · ");
  }

  /** Return the state of the run in a few words. */
  statusLine() {
    const { job, error, reconnecting } = this.run;
    if (error && !(job && !isUnfinished(job))) return "Failed";
    if (reconnecting) return "Connection lost, trying again";
    return job ? statusText(job) : "Sending";
  }

  /** Show placeholders, the newest partial image, or the results. Elements that stay the same are not made again. */
  showMedia() {
    const { job } = this.run;
    const partial = job && isUnfinished(job) ? job.partial_images?.at(-1)?.url : undefined;
    const results = job?.result?.data ?? [];
    const shown = this.run.ended ? `${results.length} results` : `partial ${job?.partial_images?.length ?? 0}`;
    if (shown === this.shown) return;
    this.shown = shown;
    const inputs = (this.options.inputs ?? []).map((input, index) => inputFigure(input, index));
    if (this.run.ended) return fill(this.media, inputs, results.map((_, index) => this.result(index)));
    const waiting = Array.from({ length: this.options.count }, () => el("div", { class: "run-wait" }));
    if (partial) waiting[0] = el("div", { class: "run-partial" }, el("img", { src: localLink(partial), alt: "Partial image" }));
    for (const element of waiting) element.style.setProperty("--shape", (this.options.shape ?? "1:1").replace(/[x:]/, " / "));
    fill(this.media, inputs, waiting);
  }

  showEnd() {
    const { job, error } = this.run;
    const failure = error ?? job?.error;
    const facts = error instanceof ApiError ? [error.code, error.param && `field ${error.param}`, error.requestId && `request ${error.requestId}`] : [job?.error?.code];
    fill(
      this.notes,
      failure && el("div", { class: "message bad", role: "alert" }, failure.message, el("small", {}, facts.filter(Boolean).join(" · "))),
      (job?.warnings ?? []).map(({ message }) => el("p", { class: "message note" }, message)),
    );
    announce(job?.status === "completed" ? `${this.options.model}: done` : `${this.options.model}: ${this.statusLine()}`);
  }

  /** @param {number} index */
  result(index) {
    const guard = (/** @type {Promise<unknown>} */ work) => this.guard(work);
    return artifactFigure(/** @type {import("./job_facts.js").Job} */ (this.run.job), index, { guard, onUse: this.options.onUse });
  }

  onCancel() {
    return this.guard(this.run.cancel());
  }

  /** Show the error of an action. @param {Promise<unknown>} work */
  async guard(work) {
    try {
      await work;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fill(this.notes, el("p", { class: "message bad", role: "alert" }, error.message));
    }
  }
}

/** @param {Blob} input @param {number} index */
function inputFigure(input, index) {
  const url = URL.createObjectURL(input);
  const loaded = () => URL.revokeObjectURL(url);
  return el(
    "figure",
    { class: "artifact input" },
    el("img", { src: url, alt: `Input ${index + 1}`, on: { load: loaded } }),
    el("figcaption", {}, el("span", { class: "hint" }, "Input")),
  );
}
