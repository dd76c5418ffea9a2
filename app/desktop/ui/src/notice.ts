// Messages: a small stack in the corner. An error stays until it is dismissed and says what to do; a piece of news
// goes by itself. A message that repeats is shown once, with the times it came.

import { element, make, makeButton, makeIcon } from "./dom";
import { text } from "./texts";
import type { ErrorDto } from "./wire";

/** Messages shown at once; older ones go. */
const MOST = 4;
const NEWS_MS = 6000;

/** Shows an error, whoever threw it. */
export function showError(error: unknown): void {
  const report = asReport(error);
  const same = [...element("toasts").querySelectorAll<HTMLElement>(".toast.failed")].find((each) => each.dataset.message === report.message);
  if (same) {
    const times = Number(same.dataset.times ?? "1") + 1;
    same.dataset.times = String(times);
    const count = same.querySelector(".toast-count");
    if (count) count.textContent = `×${times}`;
    return;
  }
  const toast = makeToast("failed", "alert", report.message, report.hint);
  toast.dataset.message = report.message;
  toast.dataset.code = report.code;
}

/** Shows a piece of news for a while, with something to press, where given. */
export function showNews(message: string, action?: { label: string; run: () => void }): void {
  const toast = makeToast("news", "status", message, null);
  if (action) {
    toast.querySelector(".toast-words")?.append(
      makeButton("link", action.label, () => {
        toast.remove();
        action.run();
      }),
    );
  }
  setTimeout(() => toast.remove(), NEWS_MS);
}

/** Runs something that may fail, and shows how; the value where it did not. */
export async function trying<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    showError(error);
    return undefined;
  }
}

/** What was thrown, as an error of ours. */
export function asReport(error: unknown): ErrorDto {
  if (typeof error === "object" && error !== null && "message" in error) {
    const { code, message, hint } = error as Partial<ErrorDto>;
    return { code: code ?? "page", message: String(message), hint: hint ?? null };
  }
  return { code: "page", message: String(error), hint: null };
}

function makeToast(kind: string, role: string, message: string, hint: string | null): HTMLElement {
  const stack = element("toasts");
  const toast = make("div", `toast ${kind}`);
  toast.setAttribute("role", role);
  const words = make("div", "toast-words");
  words.append(make("p", "toast-message", message));
  if (hint) words.append(make("p", "toast-hint", hint));
  const dismiss = makeButton("icon-button", "", () => toast.remove());
  dismiss.append(makeIcon("close"));
  dismiss.title = text("notice.dismiss");
  dismiss.setAttribute("aria-label", text("notice.dismiss"));
  toast.append(makeIcon(kind === "failed" ? "warning" : "note"), words, make("span", "toast-count"), dismiss);
  stack.append(toast);
  while (stack.childElementCount > MOST) stack.firstElementChild?.remove();
  return toast;
}
