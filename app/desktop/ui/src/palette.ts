// Ctrl+K: every command and every file opened lately, by a few letters of its name.

import { commands } from "./commands";
import { make, openDialog } from "./dom";
import { makeKeys } from "./shortcuts";
import { text } from "./texts";

/** Something that the palette offers besides the commands of the table. */
export interface Offer {
  label: string;
  detail: string;
  run: () => void;
}

interface Row extends Offer {
  /** Looked through besides the label: the command's own name, so that English finds it in every language. */
  also: string;
  keys: string | undefined;
  enabled: boolean;
}

const sources: (() => Offer[])[] = [];

/** Adds a source of offers, asked each time the palette opens. */
export function offer(source: () => Offer[]): void {
  sources.push(source);
}

/** How well the letters match: less is better; null for not at all. */
function distance(wanted: string, label: string): number | null {
  const at = label.indexOf(wanted);
  if (at >= 0) return at === 0 || label[at - 1] === " " ? at / 100 : 1 + at / 100;
  let from = 0;
  let gaps = 0;
  for (const letter of wanted) {
    const next = label.indexOf(letter, from);
    if (next < 0) return null;
    gaps += next - from;
    from = next + 1;
  }
  return 10 + gaps;
}

function rows(): Row[] {
  const ofTable = commands.all().filter((command) => command.id !== "palette").map((command) => ({
    label: text(`command.${command.id}`),
    detail: text(`group.${command.group}`),
    also: command.id.replaceAll("-", " "),
    keys: command.keys[0],
    enabled: commands.enabled(command.id),
    run: () => void commands.run(command.id),
  }));
  const offered = sources.flatMap((source) => source()).map((each) => ({ ...each, also: "", keys: undefined, enabled: true }));
  return [...ofTable, ...offered];
}

commands.on("palette", () => {
  const all = rows();
  const input = make("input", "palette-input");
  input.type = "text";
  input.placeholder = text("palette.placeholder");
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-label", text("palette.placeholder"));
  input.setAttribute("aria-expanded", "true");
  input.setAttribute("aria-controls", "palette-list");
  input.setAttribute("aria-autocomplete", "list");
  const list = make("ul", "palette-list");
  list.id = "palette-list";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", text("command.palette"));
  const dialog = openDialog("palette", text("command.palette"), input, list);
  let shown: Row[] = [];
  let chosen = 0;

  const choose = (to: number) => {
    chosen = shown.length === 0 ? 0 : (to + shown.length) % shown.length;
    for (const [at, item] of [...list.querySelectorAll("[role=option]")].entries()) {
      item.setAttribute("aria-selected", String(at === chosen));
      if (at === chosen) {
        input.setAttribute("aria-activedescendant", item.id);
        item.scrollIntoView({ block: "nearest" });
      }
    }
  };
  const take = (row: Row | undefined) => {
    if (!row?.enabled) return;
    dialog.close();
    row.run();
  };
  const draw = () => {
    const wanted = input.value.trim().toLowerCase();
    const ranked = all.flatMap((row) => {
      const found = [row.label, row.also].map((label) => distance(wanted, label.toLowerCase())).filter((each) => each !== null);
      return found.length === 0 ? [] : [{ row, rank: Math.min(...found) + (row.enabled ? 0 : 100) }];
    });
    if (wanted !== "") ranked.sort((a, b) => a.rank - b.rank);
    shown = ranked.map((each) => each.row);
    const items = shown.map((row, at) => {
      const item = make("li", "palette-item");
      item.id = `palette-${at}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-disabled", String(!row.enabled));
      item.append(make("span", "palette-label", row.label), make("span", "palette-detail", row.detail));
      if (row.keys !== undefined) item.append(makeKeys(row.keys));
      item.addEventListener("pointermove", () => {
        if (chosen !== at) choose(at);
      });
      item.addEventListener("click", () => take(row));
      return item;
    });
    list.replaceChildren(...(items.length > 0 ? items : [make("li", "palette-none", text("palette.none"))]));
    choose(0);
  };
  input.addEventListener("input", draw);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const page = 8;
    const steps: Record<string, number> = { ArrowDown: chosen + 1, ArrowUp: chosen - 1, PageDown: Math.min(shown.length - 1, chosen + page), PageUp: Math.max(0, chosen - page) };
    const to = steps[event.key];
    if (to !== undefined) choose(to);
    else if (event.key === "Enter") take(shown[chosen]);
    else return;
    event.preventDefault();
  });
  draw();
  input.focus();
});
