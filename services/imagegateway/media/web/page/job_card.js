// @ts-check
/** Card of a job in the history: media, request, status and actions. */

import { artifactFigure } from "./artifact_figure.js";
import { el, fill } from "./dom.js";
import { absenceText, isUnfinished, promptText, repeatOf, settingsOf, statusText, summaryOf } from "./job_facts.js";
import { timeElement } from "./time_element.js";

/** @typedef {import("./job_facts.js").Job} Job */

/**
 * Actions of a card, each on the card's present job.
 * @typedef {object} JobActions
 * @property {(job: Job) => void} repeat
 * @property {(job: Job) => Promise<void>} cancel
 * @property {(job: Job) => Promise<void>} erase
 * @property {(file: File) => void} use Make an image the input of an edit.
 * @property {(work: Promise<unknown>) => void} guard Show the error of an action.
 */

/** @type {Record<string, string>} */
const TAGS = { completed: "tag good", failed: "tag bad", cancelled: "tag note" };

/**
 * Return the request and everything that the API says about the job.
 * @param {Job} job
 */
function details(job) {
  const facts = [
    ...settingsOf(job),
    ...(job.provider ? [["provider", job.provider]] : []),
    ["job", job.id],
  ];
  return el(
    "details",
    {},
    el("summary", {}, "Request"),
    el("dl", { class: "facts" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
  );
}

/**
 * Return the buttons for the job's status.
 * @param {Job} job @param {JobActions} actions
 */
function buttons(job, actions) {
  /** @param {string} label @param {() => void} click @param {string} [look] */
  const button = (label, click, look = "") =>
    el("button", { class: `button small ${look}`, type: "button", on: { click } }, label);
  if (isUnfinished(job)) return [button("Cancel", () => actions.guard(actions.cancel(job)), "danger")];
  return [
    repeatOf(job) && button("Repeat with these settings", () => actions.repeat(job)),
    !job.erased_at && button("Erase", () => actions.guard(actions.erase(job)), "danger quiet"),
  ];
}

/**
 * Return a card that shows a job, and the function that shows a later state of the job.
 * @param {Job} job @param {JobActions} actions
 * @returns {{element: HTMLElement, update: (job: Job) => void}}
 */
export function jobCard(job, actions) {
  const element = el("article", { class: "card job", id: job.id });
  /** @param {Job} current */
  const update = (current) => {
    const absence = absenceText(current, Date.now() / 1000);
    const figures = { guard: actions.guard, onUse: actions.use };
    const shown = (current.result?.data ?? []).map((_, index) => artifactFigure(current, index, figures));
    fill(
      element,
      el(
        "header",
        { class: "job-head" },
        el("h2", { class: "prompt" }, promptText(current)),
        el("span", { class: TAGS[current.status] ?? "tag" }, statusText(current)),
      ),
      el(
        "p",
        { class: "hint" },
        [current.model, ...summaryOf(current)].join(" · "),
        " · ",
        timeElement(current.created_at),
      ),
      shown.length > 0 && el("div", { class: "artifacts" }, shown),
      current.error && el("p", { class: "message bad" }, current.error.message),
      absence && el("p", { class: "hint" }, absence),
      (current.warnings ?? []).map((warning) => el("p", { class: "message note" }, warning.message)),
      details(current),
      el("div", { class: "actions" }, buttons(current, actions)),
    );
  };
  update(job);
  return { element, update };
}
