// @ts-check
/** Images and videos of a job, whose signed links are renewed from the job when they expire. */

import { ApiError, call, download } from "./api.js";
import { el } from "./dom.js";
import { fileName, isExpired, promptText } from "./job_facts.js";

/** @typedef {import("./job_facts.js").Job} Job */

const now = () => Date.now() / 1000;

/**
 * Return the link of an artifact on the origin of this page. The signature does not cover the host.
 * @param {string} url
 */
export function localLink(url) {
  const link = new URL(url, location.href);
  return link.protocol.startsWith("http") ? link.pathname + link.search : url;
}

/**
 * Return the absolute, valid link of an artifact. Throws ApiError when its media are gone.
 * @param {Job} job @param {number} index
 */
export async function freshLink(job, index) {
  const url = job.result?.data?.[index]?.url ?? "";
  if (url && !isExpired(url, now())) return url;
  const renewed = (await call(`/v1/jobs/${job.id}`)).body.result?.data?.[index]?.url;
  if (!renewed) throw new ApiError("The media of this job are no longer kept.");
  return renewed;
}

/**
 * Save an artifact as a file.
 * @param {Job} job @param {number} index
 */
export async function saveArtifact(job, index) {
  const blob = await download(await freshLink(job, index));
  const link = el("a", { href: URL.createObjectURL(blob), download: fileName(job, index) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * Return an element that shows an artifact. An expired link is renewed once, when the browser can't load it.
 * @param {Job} job @param {number} index
 * @returns {HTMLImageElement | HTMLVideoElement}
 */
export function artifactView(job, index) {
  const artifact = job.result?.data?.[index] ?? {};
  const source = localLink(artifact.url ?? "");
  const element = artifact.media_type?.startsWith("video/")
    ? el("video", { src: source, controls: true, loop: true, preload: "metadata", "aria-label": promptText(job) })
    : el("img", {
        src: source,
        alt: promptText(job),
        loading: "lazy",
        decoding: "async",
        width: artifact.width,
        height: artifact.height,
      });
  const renew = async () => {
    try {
      element.src = localLink(await freshLink({ ...job, result: undefined }, index));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      element.replaceWith(el("p", { class: "hint absent" }, error.message));
    }
  };
  element.addEventListener("error", renew, { once: true });
  return element;
}
