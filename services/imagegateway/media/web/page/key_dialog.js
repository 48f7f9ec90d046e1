// @ts-check
/** Dialog that creates an API key, and shows its secret once. */

import { ApiError, call } from "./api.js";
import { copyButton } from "./clipboard.js";
import { el, fill } from "./dom.js";
import { SCOPES, keyRequest } from "./key_facts.js";
import { showModal } from "./modal.js";

/** @typedef {import("./key_facts.js").GatewayKey} GatewayKey */

/**
 * Open the dialog.
 * @param {{tenants: string[], onCreate: () => void}} options
 */
export function createKey({ tenants, onCreate }) {
  const problem = el("p", { class: "message bad", role: "alert", hidden: true });
  const content = el("div", { class: "stack" });
  const dialog = el("dialog", { class: "dialog card", "aria-labelledby": "create-key", on: { close: () => dialog.remove() } }, content);
  const create = el("button", { class: "button primary", type: "submit" }, "Create key");
  const form = el(
    "form",
    { class: "stack" },
    el("h2", { id: "create-key" }, "New key"),
    problem,
    field("Tenant", el("input", { name: "tenant", required: true, maxlength: 100, list: "tenant-names", value: tenants[0] ?? "" })),
    el("datalist", { id: "tenant-names" }, tenants.map((value) => el("option", { value }))),
    field("Name", el("input", { name: "name", maxlength: 200, placeholder: "Who or what uses the key" })),
    el(
      "fieldset",
      { class: "scopes" },
      el("legend", {}, "Scopes"),
      SCOPES.map((value) =>
        el("label", { class: "check" }, el("input", { type: "checkbox", name: "scopes", value, checked: value !== "admin" }), value),
      ),
    ),
    field("Models", el("input", { name: "models", placeholder: "All, or patterns such as openai/*, local/*" })),
    el(
      "div",
      { class: "pairs" },
      field("Requests a minute", number("requests_per_minute", "1")),
      field("Images a minute", number("images_per_minute", "1")),
      field("Jobs at once", number("concurrent_jobs", "1")),
      field("Budget in USD", number("budget", "any")),
      field("Budget period", el("select", { name: "budget_period", value: "month" }, ["day", "month", "total"].map((value) => el("option", { value }, value)))),
      field("Expires", el("input", { name: "expires", placeholder: "30d or 2027-01-01" })),
    ),
    el(
      "div",
      { class: "actions end" },
      el("button", { class: "button", type: "button", on: { click: () => dialog.close() } }, "Cancel"),
      create,
    ),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    create.disabled = true;
    try {
      const { body } = await call("/v1/admin/keys", { method: "POST", body: keyRequest(new FormData(form)) });
      fill(content, secretOf(body, dialog));
      onCreate();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      problem.hidden = false;
      problem.textContent = error.message;
      const named = error.param ? form.elements.namedItem(error.param) : null;
      if (named instanceof HTMLElement) named.focus();
    } finally {
      create.disabled = false;
    }
  });
  fill(content, form);
  document.body.append(dialog);
  showModal(dialog);
}

/** @param {string} label @param {HTMLElement} control */
function field(label, control) {
  return el("label", { class: "field" }, el("span", { class: "name" }, label), control);
}

/** @param {string} name @param {string} step */
function number(name, step) {
  return el("input", { type: "number", name, min: step === "any" ? "0" : "1", step, inputmode: "decimal", placeholder: "No limit" });
}

/** @param {GatewayKey} key @param {HTMLDialogElement} dialog */
function secretOf(key, dialog) {
  const secret = key.key ?? "";
  return [
    el("h2", { id: "create-key" }, "The new key"),
    el("p", { class: "soft" }, "Copy the key now. The gateway keeps only its hash and can't show the key again."),
    el("pre", { class: "secret", tabindex: "0", "aria-label": "Key" }, secret),
    el(
      "div",
      { class: "actions end" },
      copyButton("Copy", () => secret),
      el("button", { class: "button primary", type: "button", on: { click: () => dialog.close() } }, "Done"),
    ),
  ];
}
