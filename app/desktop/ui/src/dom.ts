// The few DOM helpers that the window needs.

/** The element with this id; the page is ours, so its absence is a mistake in the code. */
export function element<T extends Element = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as unknown as T;
}

/** A new element with a class and text; text is never read as markup. */
export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className = "", text = ""): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** A new button, which never submits a form unless it says so. */
export function makeButton(className: string, label: string, onClick: (event: MouseEvent) => void): HTMLButtonElement {
  const made = make("button", className, label);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

/** An icon of the page's own sheet (`<symbol id="icon-NAME">` in index.html); it says nothing by itself. */
export function makeIcon(name: string): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(space, "svg");
  icon.setAttribute("class", "icon");
  icon.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#icon-${name}`);
  icon.append(use);
  return icon;
}

/** Calls at most once in `ms`, after the last request. */
export function debounce(ms: number, call: () => void): () => void {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = window.setTimeout(call, ms);
  };
}

/**
 * A modal dialog that is removed when it closes; the focus returns to where it was. Escape and a press outside
 * close it.
 */
export function openDialog(className: string, title: string, ...content: (Node | string)[]): HTMLDialogElement {
  const dialog = make("dialog", `dialog ${className}`);
  const before = document.activeElement;
  const heading = make("h2", "dialog-title", title);
  heading.id = "dialog-title";
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.append(heading, ...content);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before instanceof HTMLElement) before.focus();
  });
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Moves the focus among the items of a group with the arrow keys, as a toolbar or a list of tabs does. */
export function arrowKeys(group: HTMLElement, items: () => HTMLElement[], follow: (item: HTMLElement) => void = () => {}): void {
  group.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    if (at < 0 || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 };
    const to = steps[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const item = all[(to + all.length) % all.length];
    item?.focus();
    if (item) follow(item);
  });
}
