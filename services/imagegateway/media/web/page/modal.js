// @ts-check
/** Modal dialogs, which never cover another view than their own. */

/**
 * Show a dialog of the page as modal. It closes when another view is shown, as by the browser's back button.
 * @param {HTMLDialogElement} dialog
 */
export function showModal(dialog) {
  const leave = () => dialog.close();
  addEventListener("hashchange", leave);
  dialog.addEventListener("close", () => removeEventListener("hashchange", leave), { once: true });
  dialog.showModal();
}
