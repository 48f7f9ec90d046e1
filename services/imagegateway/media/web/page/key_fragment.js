// @ts-check
/** Key in the address's fragment, as the gateway's start prints it: `/#key=…`. A fragment never reaches a server. */

import { setKey } from "./api.js";

/** Move a key from the address to this tab's storage. Return whether the address had one. */
export function takeKey() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!key) return false;
  history.replaceState(null, "", location.pathname + location.search);
  setKey(key);
  return true;
}
