// Similar images: look for the view, a region, a picture or words in the library, and open what was found; label a
// slide with class names; fill the library in the background.

import { Channel, invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { element, make, makeButton, makeIcon } from "../dom";
import { showError, trying } from "../notice";
import { onDropOver } from "../stage/opening";
import { stage } from "../stage/stage";
import { number, onLanguage, text } from "../texts";
import type { HitDto, IndexProgressDto, LabelEvent, LabelsDto, LibraryDto, QueryDto, SearchDto, SearchResultDto } from "../wire";
import { makeEmpty } from "./ask";
import { onPanel, showPanel } from "../side";

/** Pictures shown of one search. */
const N_HIT = 24;
/** How often a library that is being filled is looked at. */
const LOOK_MS = 500;

let last: QueryDto | null = null;
let turn = 0;
let watching = false;
let library: LibraryDto | null = null;
let labels: LabelsDto | null = null;

export function beginSimilar(): void {
  onDropOver("similar", ([path]) => {
    if (path !== undefined) void search({ kind: "file", path });
  });
  element("similar-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = element<HTMLInputElement>("similar-words").value.trim();
    if (words !== "") void search({ kind: "words", words });
  });
  element("similar-file").addEventListener("click", () => void searchFile());
  for (const id of ["filter-tag", "filter-stain", "filter-slide"]) {
    element(id).addEventListener("change", () => {
      if (last) void search(last);
    });
  }
  element("add-folder").addEventListener("click", () => commands.run("index-folder"));
  element("add-slide").addEventListener("click", () => commands.run("index-slide"));
  element("label-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void label();
  });
  element<HTMLInputElement>("label-opacity").addEventListener("input", showLabels);
  element("label-clear").addEventListener("click", () => {
    labels = null;
    showLabels();
  });
  commands.on("similar-view", () => searchView(stage.view()));
  commands.on("similar-region", () => searchView(stage.selection()?.bounds ?? null));
  commands.on("search-words", () => {
    showPanel("similar");
    element("similar-words").focus();
  });
  commands.on("index-folder", () => void fill("index_folder", {}));
  commands.on("index-slide", () => {
    const slide = stage.slide();
    if (slide) void fill("index_slide", { slide: slide.handle });
  });
  commands.on("label-slide", () => {
    showPanel("similar");
    element<HTMLDetailsElement>("labels").open = true;
    element("label-classes").focus();
  });
  stage.onChange(() => {
    if (labels && labels.slide !== stage.slide()?.handle) {
      labels = null;
      showLabels();
    }
  });
  onPanel((name) => {
    if (name === "similar") void refresh();
  });
  onLanguage(() => {
    if (!element("panel-similar").hidden) void refresh();
  });
}

function searchView(view: SearchView): void {
  const slide = stage.slide();
  if (!slide || !view) return;
  showPanel("similar");
  void search({ kind: "view", slide: slide.handle, view });
}
type SearchView = ReturnType<typeof stage.view>;

async function searchFile(): Promise<void> {
  const paths = await invoke<string[]>("picture_dialog");
  const path = paths[0];
  if (path !== undefined) void search({ kind: "file", path });
}

async function search(query: QueryDto): Promise<void> {
  last = query;
  const mine = ++turn;
  const results = element("similar-results");
  results.setAttribute("aria-busy", "true");
  element("similar-said").textContent = text("similar.searching");
  const slide = stage.slide();
  const where = element<HTMLSelectElement>("filter-slide").value;
  const request: SearchDto = {
    query,
    tags: [element<HTMLSelectElement>("filter-tag").value].filter((tag) => tag !== ""),
    stain: element<HTMLSelectElement>("filter-stain").value || null,
    only_slide: where === "this" ? (slide?.id ?? null) : null,
    except_slide: where === "others" ? (slide?.id ?? null) : null,
    n: N_HIT,
  };
  const found = await trying(() => invoke<SearchResultDto>("search", { request }));
  if (mine !== turn) return;
  results.removeAttribute("aria-busy");
  if (!found) {
    element("similar-said").textContent = "";
    return;
  }
  element("similar-said").textContent = text("similar.found", { n: number(found.hits.length), ms: number(found.secs * 1000), model: found.model });
  results.replaceChildren(...(found.hits.length > 0 ? found.hits.map(card) : [nothing()]));
}

function nothing(): HTMLElement {
  const empty = library !== null && library.n_item === 0;
  return empty ? makeEmpty(text("similar.empty"), text("similar.empty-hint")) : makeEmpty(text("similar.nothing"), text("similar.nothing-hint"));
}

function card(hit: HitDto): HTMLElement {
  const what = `${hit.title}, ${text("similar.score", { n: number(hit.score, 3) })}`;
  const item = make("div", "hit");
  item.setAttribute("role", "listitem");
  const open = makeButton("hit-open", "", () => void openHit(hit));
  open.setAttribute("aria-label", text("similar.open", { what }));
  const image = make("img");
  image.src = hit.url;
  image.alt = "";
  image.loading = "lazy";
  const facts = [hit.um_per_px === null ? "" : `${number(hit.um_per_px, 2)} µm/px`, text(`choice.stain.${hit.stain}`) + (hit.stain_stated ? "" : " ?"), ...hit.tags];
  open.append(image, make("span", "hit-score", number(hit.score, 3)), make("span", "hit-title", hit.title), make("span", "hit-facts", facts.filter((fact) => fact !== "").join(" · ")));
  open.title = hit.stain_stated ? hit.title : `${hit.title}\n${text("similar.stain-guess")}`;
  const more = makeButton("icon-button hit-more", "", () => void search({ kind: "item", item: hit.item }));
  more.append(makeIcon("search"));
  more.setAttribute("aria-label", text("similar.more-like", { what }));
  more.title = text("similar.more-like-short");
  item.append(open, more);
  return item;
}

async function openHit(hit: HitDto): Promise<void> {
  if (hit.view === null) await stage.open(hit.path);
  else await stage.show({ id: hit.slide_id ?? undefined, path: hit.path }, hit.view);
}

/** Starts to fill the library, and watches. */
async function fill(command: string, args: Record<string, unknown>): Promise<void> {
  showPanel("similar");
  element<HTMLDetailsElement>("library").open = true;
  const begun = await trying(() => invoke<boolean>(command, args));
  if (begun) void watch();
}

async function watch(): Promise<void> {
  if (watching) return;
  watching = true;
  try {
    for (;;) {
      const progress = await invoke<IndexProgressDto | null>("index_progress");
      showProgress(progress);
      if (progress === null || !["running", "paused"].includes(progress.state)) break;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  } catch (error) {
    showError(error);
  } finally {
    watching = false;
  }
  await refresh();
}

function showProgress(progress: IndexProgressDto | null): void {
  const box = element("index-progress");
  box.hidden = progress === null;
  if (progress === null) return;
  const bar = make("progress");
  bar.max = Math.max(1, progress.n_total);
  bar.value = progress.n_done;
  bar.setAttribute("aria-label", text("similar.indexing"));
  const rate = progress.state !== "running" || progress.tiles_per_sec === null ? "" : text("similar.rate", { n: number(progress.tiles_per_sec, 1) });
  const left = progress.secs_left === null ? "" : text("similar.left", { time: duration(progress.secs_left) });
  const counts = text("similar.progress", { n: number(progress.n_done), all: number(progress.n_total) });
  const skipped = progress.n_skipped > 0 ? text("similar.unchanged", { n: number(progress.n_skipped) }) : "";
  const said = { running: "", paused: text("similar.paused"), done: text("similar.done"), stopped: text("similar.stopped"), failed: progress.error ?? "" }[progress.state] ?? "";
  const words = make("p", "quiet", [said, counts, skipped, rate, left].filter((part) => part !== "").join(" · "));
  const row = make("div", "dialog-row");
  const act = (command: string) => () => void trying(() => invoke(command)).then(watch);
  if (progress.state === "running") row.append(makeButton("button", text("similar.pause"), act("index_pause")));
  if (progress.state === "paused") row.append(makeButton("button", text("similar.resume"), act("index_resume")));
  if (progress.state === "running" || progress.state === "paused") row.append(makeButton("button", text("similar.stop"), act("index_stop")));
  const faults = progress.faults.map((fault) => make("li", "", `${fault.title}: ${fault.reason}`));
  const list = make("ul", "index-faults");
  list.append(...faults);
  box.replaceChildren(bar, words, row, ...(faults.length > 0 ? [make("p", "", text("similar.faults", { n: number(progress.n_fault) })), list] : []));
}

/** A time left, in the two largest units. */
function duration(secs: number): string {
  const whole = Math.max(0, Math.round(secs));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

async function refresh(): Promise<void> {
  const found = await trying(() => invoke<LibraryDto>("library"));
  if (!found) return;
  library = found;
  element("library-sum").textContent = text("similar.sum", { n: number(found.n_item), files: number(found.n_done), model: found.model });
  if (found.notice) element("library-sum").title = found.notice;
  fillSelect("filter-tag", text("similar.any-tag"), found.tags.map((tag) => [tag, tag]));
  fillSelect("filter-stain", text("similar.any-stain"), found.stains.map((stain) => [stain, text(`choice.stain.${stain}`)]));
  const rows = found.sources.map((source) => {
    const row = make("li", "source");
    const words = make("div");
    words.append(make("span", "source-title", source.title), make("span", "quiet", text("similar.items", { n: number(source.n_item) })));
    words.title = source.path;
    const remove = makeButton("icon-button", "", () => void trying(() => invoke("remove_source", { id: source.id })).then(refresh));
    remove.append(makeIcon("close"));
    remove.setAttribute("aria-label", text("similar.remove", { title: source.title }));
    remove.title = text("similar.remove", { title: source.title });
    const again = makeButton("icon-button", "", () => void fill("index_again", { id: source.id }));
    again.append(makeIcon("again"));
    again.setAttribute("aria-label", text("similar.update", { title: source.title }));
    again.title = text("similar.update", { title: source.title });
    row.append(words, again, remove);
    return row;
  });
  element("library-sources").replaceChildren(...rows);
  const results = element("similar-results");
  if (results.childElementCount === 0 || results.querySelector(".panel-empty")) {
    results.replaceChildren(found.n_item === 0 ? nothing() : makeEmpty(text("similar.ready"), text("similar.ready-hint")));
  }
  const progress = await invoke<IndexProgressDto | null>("index_progress");
  showProgress(progress);
  if (progress && ["running", "paused"].includes(progress.state)) void watch();
}

/** Offers choices in a select, and keeps what was chosen where it is still there. */
function fillSelect(id: string, any: string, choices: [string, string][]): void {
  const select = element<HTMLSelectElement>(id);
  const chosen = select.value;
  const options = [["", any] as [string, string], ...choices].map(([value, label]) => {
    const option = make("option", "", label);
    option.value = value;
    return option;
  });
  select.replaceChildren(...options);
  select.value = choices.some(([value]) => value === chosen) ? chosen : "";
}

/** Labels the slide with the classes typed in, one a line. */
async function label(): Promise<void> {
  const slide = stage.slide();
  const typed = element<HTMLTextAreaElement>("label-classes").value;
  const classes = typed.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (!slide || classes.length < 2) {
    showError({ code: "classes", message: text("labels.too-few"), hint: null });
    return;
  }
  const bar = element<HTMLProgressElement>("label-progress");
  const run = element<HTMLButtonElement>("label-run");
  const stop = element<HTMLButtonElement>("label-stop");
  bar.hidden = false;
  stop.hidden = false;
  run.disabled = true;
  stop.onclick = () => void invoke("stop_labels");
  const channel = new Channel<LabelEvent>();
  channel.onmessage = (event) => {
    bar.max = Math.max(1, event.n_total);
    bar.value = event.n_done;
  };
  const made = await trying(() => invoke<LabelsDto | null>("label_slide", { slide: slide.handle, classes, channel }));
  bar.hidden = true;
  stop.hidden = true;
  run.disabled = false;
  if (made) {
    labels = made;
    showLabels();
  }
}

function showLabels(): void {
  const opacity = Number(element<HTMLInputElement>("label-opacity").value) / 100;
  stage.heatmap(labels ? { url: labels.url, opacity } : null);
  element("label-result").hidden = labels === null;
  if (!labels) return;
  const rows = labels.classes.map((each) => {
    const row = make("li", "label-row");
    const swatch = make("span", "swatch");
    swatch.style.setProperty("--swatch", each.color);
    const meter = make("meter", "option-bar");
    meter.max = 1;
    meter.value = each.share;
    meter.setAttribute("aria-label", text("labels.share"));
    row.append(swatch, make("span", "option-text", each.name), meter, make("span", "option-share", `${number(each.share * 100, 1)} %`));
    return row;
  });
  element("label-classes-found").replaceChildren(...rows);
  element("label-said").textContent = text("labels.said", { n: number(labels.n_tile), model: labels.model });
}
