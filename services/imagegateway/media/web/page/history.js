// @ts-check
/** View: the tenant's jobs, from the API's own list, so that nothing paid for is out of reach. */

import { ApiError, call } from "./api.js";
import { confirmed } from "./confirm_dialog.js";
import { announce, el, fill } from "./dom.js";
import { jobCard } from "./job_card.js";
import { isUnfinished, jobsQuery, repeatOf } from "./job_facts.js";
import { viewParams } from "./router.js";

/** @typedef {import("./job_facts.js").Job} Job */

const PAGE_SIZE = 20;
const POLL_MS = 2500;
const STATUSES = ["queued", "running", "completed", "failed", "cancelled"];

/** @type {import("./router.js").ViewModule["mount"]} */
export function mount(root, context) {
  const view = new HistoryView(root, context);
  view.open();
  return { unmount: () => view.close() };
}

/** List of jobs with filters. The location hash holds the filters, or the id of the one job to show. */
class HistoryView {
  /** @param {HTMLElement} root @param {import("./main.js").Context} context */
  constructor(root, context) {
    this.context = context;
    this.stopped = new AbortController();
    /** @type {Map<string, {job: Job, card: ReturnType<typeof jobCard>}>} */
    this.shown = new Map();
    this.token = "";
    this.timer = 0;

    const params = viewParams(location.hash);
    this.jobId = params.get("job") ?? "";
    this.filters = { status: params.get("status") ?? "", model: params.get("model") ?? "" };
    this.list = el("div", { class: "job-list" });
    this.problem = el("div", { role: "alert" });
    this.more = el("button", { class: "button", type: "button", hidden: true, on: { click: () => this.guard(this.load()) } }, "Show more");
    root.append(
      el("header", { class: "view-head" }, el("h1", {}, this.jobId ? "Job" : "History"), this.jobId ? allLink() : this.filterForm()),
      this.problem,
      this.list,
      el("div", { class: "actions" }, this.more),
    );
  }

  open() {
    this.guard(this.jobId ? this.loadJob() : this.load());
    this.poll();
  }

  close() {
    this.stopped.abort();
    clearTimeout(this.timer);
  }

  /** Return the form of the filters. */
  filterForm() {
    const models = this.context.state.value.models.map(({ id }) => id);
    /** @param {"status" | "model"} name @param {string} all @param {string[]} values */
    const select = (name, all, values) => {
      const options = ["", ...values].map((value) => el("option", { value }, value || all));
      const change = () => {
        this.filters[name] = element.value;
        this.refilter();
      };
      const element = el("select", { value: this.filters[name], on: { change } }, options);
      return el("label", { class: "field" }, el("span", { class: "name" }, name === "status" ? "Status" : "Model"), element);
    };
    return el("form", { class: "filters" }, select("status", "All", STATUSES), select("model", "All", models));
  }

  /** Show the first page again, and keep the filters in the address. */
  refilter() {
    const query = new URLSearchParams(Object.entries(this.filters).filter(([, value]) => value));
    history.replaceState(null, "", `#/history${query.size ? `?${query}` : ""}`);
    this.token = "";
    this.shown.clear();
    fill(this.list);
    this.guard(this.load());
  }

  /** Load the next page. */
  async load() {
    const query = jobsQuery(this.filters, this.token, PAGE_SIZE);
    this.more.disabled = true;
    this.list.setAttribute("aria-busy", "true");
    try {
      const { body } = await call(query, { signal: this.stopped.signal });
      if (query !== jobsQuery(this.filters, this.token, PAGE_SIZE)) return;  // the filters changed meanwhile
      for (const job of body.data) this.show(job);
      this.token = body.next_page_token ?? "";
      this.more.hidden = !this.token;
      announce(`${this.shown.size} jobs shown`);
      if (this.shown.size === 0) fill(this.list, this.emptyText());
    } finally {
      this.more.disabled = false;
      this.list.removeAttribute("aria-busy");
    }
  }

  async loadJob() {
    const { body } = await call(`/v1/jobs/${encodeURIComponent(this.jobId)}`, { signal: this.stopped.signal });
    this.show(body);
  }

  emptyText() {
    const filtered = this.filters.status || this.filters.model;
    return el(
      "p",
      { class: "soft" },
      filtered ? "No job matches these filters." : "No jobs yet. Each image and video that your tenant makes stays listed here.",
    );
  }

  /** @param {Job} job */
  show(job) {
    const known = this.shown.get(job.id);
    if (known) {
      if (JSON.stringify(known.job) !== JSON.stringify(job)) known.card.update(job);
      known.job = job;
      return;
    }
    const card = jobCard(job, {
      repeat: (current) => this.repeat(current),
      cancel: async ({ id }) => this.show((await call(`/v1/jobs/${id}/cancel`, { method: "POST" })).body),
      erase: (current) => this.erase(current),
      use: (file) => this.use(file),
      guard: (work) => this.guard(work),
    });
    this.shown.set(job.id, { job, card });
    this.list.append(card.element);
  }

  /** Fill the form of the job's operation with its request. @param {Job} job */
  repeat(job) {
    const repeated = repeatOf(job);
    if (!repeated) return;
    this.context.state.set({ draft: { ...repeated.fields, model: repeated.model } });
    this.context.navigate(repeated.operation === "edits" ? "edit" : "generate");
  }

  /** Make an image the input of an edit. @param {File} file */
  use(file) {
    this.context.state.set({ inputs: [file] });
    this.context.navigate("edit");
  }

  /** @param {Job} job */
  async erase(job) {
    const agreed = await confirmed({
      title: "Erase this job?",
      text: "Prompt, inputs and media are deleted for good. Status, times and cost remain.",
      action: "Erase",
    });
    if (agreed) this.show((await call(`/v1/jobs/${job.id}/erase`, { method: "POST" })).body);
  }

  /** Follow the shown jobs that have not ended, while the tab is visible. */
  poll() {
    this.timer = setTimeout(async () => {
      const unfinished = [...this.shown.values()].filter(({ job }) => isUnfinished(job));
      if (!document.hidden) {
        for (const { job } of unfinished) await this.refresh(job.id).catch(ifRefused);
      }
      if (!this.stopped.signal.aborted) this.poll();
    }, POLL_MS);
  }

  /** @param {string} id */
  async refresh(id) {
    const { body } = await call(`/v1/jobs/${id}`, { signal: this.stopped.signal });
    if (this.shown.has(id)) this.show(body);
  }

  /** Show the error of an action in place of an earlier one. @param {Promise<unknown>} work */
  async guard(work) {
    fill(this.problem);
    try {
      await work;
    } catch (error) {
      if (this.stopped.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      fill(this.problem, el("p", { class: "message bad" }, error.message));
    }
  }
}

function allLink() {
  return el("a", { class: "button", href: "#/history" }, "All jobs");
}

/** Ignore an error of the API: the next poll repeats the call. @param {unknown} error */
function ifRefused(error) {
  if (!(error instanceof ApiError) && /** @type {Error} */ (error).name !== "AbortError") throw error;
}
