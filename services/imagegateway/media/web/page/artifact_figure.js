// @ts-check
/** Figure of an image or a video of a job: opened, saved, linked to, used as the input of an edit. */

import { download } from "./api.js";
import { copyButton } from "./clipboard.js";
import { el } from "./dom.js";
import { artifactView, freshLink, localLink, saveArtifact } from "./job_media.js";

/** @typedef {import("./job_facts.js").Job} Job */

/**
 * @typedef {object} ArtifactActions
 * @property {(work: Promise<unknown>) => void} guard shows the error of an action
 * @property {(file: File) => void} [onUse] called with an image that becomes an input
 */

/**
 * @param {Job} job @param {number} index @param {ArtifactActions} actions
 * @returns {HTMLElement}
 */
export function artifactFigure(job, index, { guard, onUse }) {
  const artifact = job.result?.data?.[index] ?? {};
  const noun = job.type === "video.generation" ? "video" : "image";
  const name = (job.result?.data?.length ?? 0) > 1 ? `${noun} ${index + 1}` : noun;
  const size = artifact.width ? `${artifact.width} × ${artifact.height}` : "";
  const facts = [size, artifact.seed !== undefined && `seed ${artifact.seed}`].filter(Boolean).join(" · ");
  /** @param {string} text @param {() => Promise<unknown>} work */
  const button = (text, work) =>
    el("button", { class: "button small", type: "button", "aria-label": `${text}: ${name}`, on: { click: () => guard(work()) } }, text);
  return el(
    "figure",
    { class: "artifact" },
    el("a", { href: localLink(artifact.url ?? ""), target: "_blank", rel: "noopener", "aria-label": `Open ${name}` }, artifactView(job, index)),
    el(
      "figcaption",
      {},
      el("span", { class: "hint" }, facts),
      onUse && artifact.media_type?.startsWith("image/") && button("Use as input", async () => onUse(await artifactFile(job, index))),
      button("Download", () => saveArtifact(job, index)),
      copyButton("Copy link", () => freshLink(job, index)),
    ),
  );
}

/** @param {Job} job @param {number} index @returns {Promise<File>} */
async function artifactFile(job, index) {
  const blob = await download(await freshLink(job, index));
  return new File([blob], `${job.id}-${index}`, { type: blob.type });
}
