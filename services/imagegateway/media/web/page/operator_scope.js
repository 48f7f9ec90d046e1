// @ts-check
/** Whether the key of this tab is an operator's. Apart from the operator's view, which other keys never load. */

import { ApiError, call } from "./api.js";

/** Return whether the key of this tab has the scope `admin`: no other key reads the usage of all tenants. */
export async function isOperator() {
  try {
    await call("/v1/usage?group_by=tenant&page_size=1");
    return true;
  } catch (error) {
    if (error instanceof ApiError) return false;
    throw error;
  }
}
