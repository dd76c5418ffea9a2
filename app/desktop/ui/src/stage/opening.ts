// Ways to a slide: dialog, drop, folder, and the files opened lately.

import { invoke } from "@tauri-apps/api/core";
import { getCurrentWebview } from "@tauri-apps/api/webview";

import { commands } from "../commands";
import { element, make, makeButton, openDialog } from "../dom";
import { showNews, trying } from "../notice";
import { offer } from "../palette";
import { onLanguage, text } from "../texts";
import type { FileDto, ListingDto } from "../wire";
import { panelShown, type Panel } from "../side";
import { stage, tabbing } from "./stage";

/** Files opened at once without asking: more is more likely a slip than a wish. */
const MOST_UNASKED = 8;
let recent: FileDto[] = [];

/** Opens files; of folders and of many files, lets choose. */
export async function openPaths(paths: string[]): Promise<void> {
  if (paths.length === 0) return;
  const listing = await trying(() => invoke<ListingDto>("list_files", { paths }));
  if (!listing) return;
  const { files } = listing;
  if (listing.n_unread > 0) showNews(text("open.unread", { n: listing.n_unread }));
  if (files.length === 0) return showNews(text("open.no-slides"));
  const named = files.every((file) => paths.includes(file.path));
  if (named && files.length <= MOST_UNASKED) await stage.open(...files.map((file) => file.path));
  else chooseFiles(files, listing.truncated);
}

function chooseFiles(files: FileDto[], truncated: boolean): void {
  const list = make("ul", "choose-list");
  const boxes = files.map((file, at) => {
    const row = make("li");
    const label = make("label", "choose-row");
    const box = make("input");
    box.type = "checkbox";
    box.checked = files.length <= MOST_UNASKED || at === 0;
    label.append(box, make("span", "choose-title", file.title), make("span", "quiet", file.folder));
    row.append(label);
    list.append(row);
    return box;
  });
  const count = () => boxes.filter((box) => box.checked).length;
  const open = makeButton("button primary", "", () => {
    dialog.close();
    void stage.open(...files.filter((_, at) => boxes[at]?.checked).map((file) => file.path));
  });
  const all = makeButton("button", text("open.all"), () => {
    const every = count() === boxes.length;
    for (const box of boxes) box.checked = !every;
    draw();
  });
  const draw = () => {
    open.textContent = text("open.chosen", { n: count() });
    open.disabled = count() === 0;
  };
  list.addEventListener("change", draw);
  const row = make("div", "dialog-row");
  row.append(all, makeButton("button", text("dialog.cancel"), () => dialog.close()), open);
  const dialog = openDialog("choose", text(truncated ? "open.choose-first" : "open.choose", { n: files.length }), list, row);
  draw();
  boxes[0]?.focus();
}

const targets = new Map<Panel, (paths: string[]) => void>();

/** Says what becomes of files that are dropped on a panel; elsewhere they are opened. */
export function onDropOver(panel: Panel, take: (paths: string[]) => void): void {
  targets.set(panel, take);
}

/** What takes files that are dropped at a place of the window. */
function targetAt(position: { x: number; y: number }): ((paths: string[]) => void) | undefined {
  const ratio = window.devicePixelRatio || 1;
  const panel = panelShown();
  const over = document.elementFromPoint(position.x / ratio, position.y / ratio)?.closest("#side");
  return over && panel ? targets.get(panel) : undefined;
}

/** Shows the files opened lately on the empty screen. */
export function showRecent(files: FileDto[]): void {
  recent = files;
  const rows = recent.slice(0, 8).map((file) => {
    const row = make("li");
    const button = makeButton("recent", "", () => void stage.open(file.path));
    // The end of a long folder says more than its start: it is cut on the left, and still read from the left.
    const folder = make("span", "recent-folder");
    folder.append(make("bdi", "", file.folder));
    button.append(make("span", "recent-title", file.title), folder);
    row.append(button);
    return row;
  });
  element("recent").hidden = rows.length === 0;
  element("recent-list").replaceChildren(...rows);
}

async function refreshRecent(): Promise<void> {
  const files = await trying(() => invoke<FileDto[]>("recent"));
  if (files) showRecent(files);
}

export function beginOpening(): void {
  let n = 0;
  tabbing.onChange(() => {
    const all = tabbing.all().length;
    if (all !== n) void refreshRecent();
    n = all;
  });
  commands.on("open", () => void trying(async () => openPaths(await invoke<string[]>("open_dialog"))));
  commands.on("open-folder", () =>
    void trying(async () => {
      const folder = await invoke<string | null>("folder_dialog");
      if (folder !== null) await openPaths([folder]);
    }),
  );
  offer(() => recent.map((file) => ({ label: file.title, detail: text("open.recent"), run: () => void stage.open(file.path) })));
  onLanguage(() => showRecent(recent));
  void getCurrentWebview().onDragDropEvent(({ payload }) => {
    const take = payload.type === "leave" ? undefined : targetAt(payload.position);
    const over = payload.type === "enter" || payload.type === "over";
    element("stage").classList.toggle("dropping", over && !take);
    element("side").classList.toggle("dropping", over && take !== undefined);
    if (payload.type !== "drop") return;
    if (take) take(payload.paths);
    else void openPaths(payload.paths);
  });
}
