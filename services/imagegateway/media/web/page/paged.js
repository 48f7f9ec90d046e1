// @ts-check
/** Lists of the API that come in pages. */

import { call } from "./api.js";

/**
 * Return all entries of a list, page by page.
 * @param {string} path @param {Record<string, string>} query @param {AbortSignal} [signal]
 * @returns {Promise<{data: any[], total?: any}>} `total` as on the first page.
 */
export async function allPages(path, query, signal) {
  /** @type {any[]} */
  const data = [];
  let total;
  let token = "";
  do {
    const page = new URLSearchParams({ ...query, ...(token ? { page_token: token } : {}) });
    const { body } = await call(`${path}?${page}`, { signal });
    data.push(...body.data);
    total ??= body.total;
    token = body.next_page_token ?? "";
  } while (token);
  return { data, total };
}
