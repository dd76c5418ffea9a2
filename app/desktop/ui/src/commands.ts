// What a person can tell the window to do: the table is Rust's (`eosin_workbench::command::COMMANDS`), the page only
// says what happens. A part of the page calls `commands.on("zoom-in", () => …)`; keys, buttons with
// `data-command="zoom-in"`, the palette and the list of shortcuts all go through `commands.run`.

import { onLanguage, text } from "./texts";
import type { CommandDto } from "./wire";

type Need = "slide" | "selection" | "answering" | "answer";

let table: CommandDto[] = [];
const byKey = new Map<string, CommandDto>();
const handlers = new Map<string, () => void>();
const met = new Set<string>(["nothing"]);

export const commands = {
  /** Says what happens when a command is chosen. */
  on(id: string, handler: () => void): void {
    handlers.set(id, handler);
  },

  /** The commands that have a handler, in the order of menus. */
  all(): CommandDto[] {
    return table.filter((command) => handlers.has(command.id));
  },

  /** Says whether what some commands need is there. */
  need(need: Need, there: boolean): void {
    if (met.has(need) === there) return;
    if (there) met.add(need);
    else met.delete(need);
    refresh();
  },

  enabled(id: string): boolean {
    const command = table.find((each) => each.id === id);
    return command !== undefined && handlers.has(id) && met.has(command.needs);
  },

  /** Does it, where it can be done; says whether it was. */
  run(id: string): boolean {
    if (!this.enabled(id)) return false;
    handlers.get(id)?.();
    return true;
  },

  /** The first key of a command as a person reads it; empty without one. */
  key(id: string): string {
    const key = table.find((command) => command.id === id)?.keys[0];
    return key === undefined ? "" : spoken(key);
  },

  /** Name and key, for a tooltip. */
  hint(id: string): string {
    const key = this.key(id);
    const name = text(`command.${id}`).replace(/…$/, "");
    return key === "" ? name : `${name}  (${key})`;
  },

  /** Takes the table; call once, when all parts have said what they do. */
  begin(commandsOfRust: CommandDto[]): void {
    table = commandsOfRust;
    for (const command of table) for (const key of command.keys) byKey.set(key, command);
    document.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-command]") : null;
      if (button) this.run(button.dataset.command ?? "");
    });
    document.addEventListener("keydown", onKey);
    onLanguage(refresh);
    refresh();
  },

  /** Brings buttons up to date: names, keys, whether they can be pressed. */
  refresh,
};

function refresh(): void {
  if (table.length === 0) return;
  for (const button of document.querySelectorAll<HTMLElement>("[data-command]")) {
    const id = button.dataset.command ?? "";
    button.title = commands.hint(id);
    // A button that shows a word is named by it.
    if (button.textContent?.trim() === "") button.setAttribute("aria-label", text(`command.${id}`).replace(/…$/, ""));
    const keys = table.find((command) => command.id === id)?.keys ?? [];
    if (keys.length > 0) button.setAttribute("aria-keyshortcuts", keys.map((key) => key.replace("Ctrl", "Control")).join(" "));
    if (button instanceof HTMLButtonElement) button.disabled = !commands.enabled(id);
  }
}

const SPOKEN: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", PageDown: "PgDn", PageUp: "PgUp", Escape: "Esc", Delete: "Del", "-": "−" };

/** A key as a person reads it. */
export function spoken(key: string): string {
  const parts = key === "+" || key.endsWith("++") ? [...key.slice(0, -1).split("+").filter(Boolean), "+"] : key.split("+");
  return parts.map((part) => SPOKEN[part] ?? part).join(" ");
}

/** A key press in the spelling of the table. */
function spelled(event: KeyboardEvent): string {
  const letter = event.key.length === 1;
  const key = letter ? event.key.toUpperCase() : event.key;
  // A sign that needs Shift on one keyboard needs none on another: it stands for itself.
  const shift = event.shiftKey && !(letter && !/[A-Z0-9]/.test(key));
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${event.altKey ? "Alt+" : ""}${key}`;
}

/** Keys that edit text, which a field keeps for itself. */
const EDITING = new Set(["Ctrl+Z", "Ctrl+Shift+Z", "Ctrl+Y", "Ctrl+A", "Ctrl+C", "Ctrl+V", "Ctrl+X", "Ctrl+B"]);

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  // A dialog in front takes all keys.
  if (document.querySelector("dialog[open]")) return;
  const key = spelled(event);
  const command = byKey.get(key);
  if (!command) return;
  const target = event.target;
  const field = target instanceof HTMLElement && (target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox])"));
  if (field && !(key.startsWith("Ctrl+") && !EDITING.has(key)) && !/^(F\d+|Escape)$/.test(key)) return;
  if (commands.run(command.id)) event.preventDefault();
}
