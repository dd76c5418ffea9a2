// The panel of annotations: which class is drawn, the list with its filter, the chosen one's words, and whether all
// is on the disk.

import { commands } from "../commands";
import { debounce, element, make, makeButton, makeIcon, openDialog } from "../dom";
import { language, number, onLanguage, text } from "../texts";
import type { ClassDto } from "../wire";
import { boundsOf, colorOf, marks, nameOf, type Mark } from "./marks";
import { hover } from "./overlay";
import { stage } from "./stage";
import { view } from "./view";

const panel = element("panel-annotations");
/** A pause in writing after which the words are kept. */
const WRITE_MS = 500;
let drawn: ClassDto | null = null;
let filter = "";
let ofClass = "";

/** The class that new annotations get. */
export function annotationClass(): ClassDto | null {
  return drawn;
}

export const hex = (color: [number, number, number]): string => `#${color.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
const rgb = (color: string): [number, number, number] => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16)) as [number, number, number];

const head = make("div", "marks-head");
const state = make("div", "marks-state");
const classes = make("div", "chips");
const search = make("input", "input");
const classFilter = make("select", "input");
const list = make("ul", "marks-list");
const detail = make("div", "marks-detail");
const blank = make("div", "panel-blank");

function drawState(): void {
  const now = marks.saveState();
  state.replaceChildren();
  state.className = `marks-state ${now}`;
  state.setAttribute("role", "status");
  if (now === "failed") {
    state.append(makeIcon("warning"), make("span", "", text("annotations.unsaved")), makeButton("link", text("annotations.retry"), () => void marks.save()));
    state.title = marks.unsaved()?.message ?? "";
  } else {
    state.title = "";
    state.append(makeIcon("note"), make("span", "", text(now === "saving" ? "annotations.saving" : "annotations.saved")));
  }
}

function drawClasses(): void {
  const none = makeChip(null);
  const more = makeButton("chip chip-more", `+ ${text("annotations.new-class")}`, () => editClass(null));
  classes.replaceChildren(none, ...marks.classes().map(makeChip), more);
}

function makeChip(of: ClassDto | null): HTMLElement {
  const name = of?.name ?? text("annotations.no-class");
  const chip = makeButton("chip", "", () => {
    drawn = of;
    const chosen = marks.selected();
    if (chosen && !chosen.dto.locked) void marks.change(chosen.dto.id, { class: of });
    drawClasses();
  });
  chip.append(makeSwatch(of?.color ?? [220, 40, 40]), make("span", "", name));
  chip.setAttribute("aria-pressed", String((drawn?.name ?? null) === (of?.name ?? null)));
  if (of) {
    chip.title = text("annotations.edit-class");
    chip.addEventListener("dblclick", () => editClass(of));
    chip.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      editClass(of);
    });
  }
  return chip;
}

function makeSwatch(color: [number, number, number]): HTMLElement {
  const swatch = make("span", "swatch");
  swatch.style.backgroundColor = `rgb(${color.join(" ")})`;
  return swatch;
}

function editClass(of: ClassDto | null): void {
  const name = make("input");
  name.value = of?.name ?? "";
  name.maxLength = 60;
  const color = make("input", "color");
  color.type = "color";
  color.value = hex(of?.color ?? [47, 111, 181]);
  const form = make("form", "class-form");
  const named = make("label", "field", text("annotations.class-name"));
  named.append(name);
  const colored = make("label", "field", text("annotations.color"));
  colored.append(color);
  form.append(named, colored);
  const row = make("div", "dialog-row");
  if (of) {
    const remove = makeButton("button danger", text("annotations.remove-class"), () => {
      void marks.setClasses(marks.classes().filter((each) => each.name !== of.name));
      if (drawn?.name === of.name) drawn = null;
      dialog.close();
    });
    row.append(remove);
  }
  const save = make("button", "button primary", text("dialog.save"));
  save.type = "submit";
  row.append(makeButton("button", text("dialog.cancel"), () => dialog.close()), save);
  form.append(row);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const made: ClassDto = { name: name.value.trim(), color: rgb(color.value) };
    if (made.name === "") return name.focus();
    const others = marks.classes().filter((each) => each.name !== made.name && each.name !== of?.name);
    const at = of ? marks.classes().findIndex((each) => each.name === of.name) : others.length;
    void marks.setClasses([...others.slice(0, at), made, ...others.slice(at)]);
    drawn = made;
    drawClasses();
    dialog.close();
  });
  const dialog = openDialog("narrow", text(of ? "annotations.edit-class-title" : "annotations.new-class"), form);
  name.focus();
}

function matches(mark: Mark): boolean {
  if (ofClass !== "" && (mark.dto.class?.name ?? "") !== (ofClass === "-" ? "" : ofClass)) return false;
  return filter === "" || `${mark.dto.title} ${mark.dto.note} ${mark.dto.class?.name ?? ""} ${text(`shape.${mark.dto.shape.kind}`)}`.toLowerCase().includes(filter);
}

/** Moves to an annotation and chooses it. */
function goTo(mark: Mark): void {
  marks.select(mark.dto.id);
  const slide = stage.slide();
  if (!slide) return;
  const { x_base_px, y_base_px, width_base_px, height_base_px } = boundsOf(mark, slide);
  // Some tissue around it; a point is shown as now.
  const visible = stage.view();
  const least = mark.path === null && visible ? [visible.width_base_px, visible.height_base_px] : [64, 64];
  const width = Math.max(width_base_px * 1.6, least[0] ?? 64);
  const height = Math.max(height_base_px * 1.6, least[1] ?? 64);
  view.fit({ x_base_px: x_base_px + width_base_px / 2 - width / 2, y_base_px: y_base_px + height_base_px / 2 - height / 2, width_base_px: width, height_base_px: height });
}

/** What the list was last built from. */
let built = "";

function drawList(): void {
  const focused = list.contains(document.activeElement);
  const chosen = marks.selected();
  const now = JSON.stringify([marks.version(), filter, ofClass, language(), stage.slide()?.handle]);
  if (now === built) {
    // A thousand rows stay as they are when another one is chosen.
    const before = list.querySelector<HTMLElement>("[aria-selected=true]");
    const after = chosen ? document.getElementById(`mark-${chosen.dto.id}`) : null;
    if (before !== after) {
      before?.setAttribute("aria-selected", "false");
      if (before) before.tabIndex = -1;
      after?.setAttribute("aria-selected", "true");
      if (after) after.tabIndex = 0;
      after?.scrollIntoView({ block: "nearest" });
      if (focused) after?.focus();
    }
    if (!list.querySelector("[tabindex='0']")) list.querySelector(".mark")?.setAttribute("tabindex", "0");
    return;
  }
  built = now;
  const shown = [...marks.all()].filter(matches);
  const rows = shown.map((mark, at) => {
    const row = make("li", "mark");
    row.id = `mark-${mark.dto.id}`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(mark === chosen));
    row.tabIndex = mark === chosen || (at === 0 && !(chosen && matches(chosen))) ? 0 : -1;
    row.append(makeSwatch(colorOf(mark.dto)), make("span", "mark-name", nameOf(mark.dto)), make("span", "mark-measured", mark.dto.measured));
    if (mark.dto.note !== "") row.append(make("span", "mark-note", mark.dto.note));
    row.addEventListener("click", () => goTo(mark));
    row.addEventListener("pointerenter", () => hover(mark.dto.id));
    row.addEventListener("pointerleave", () => hover(null));
    return row;
  });
  list.replaceChildren(...rows);
  list.hidden = rows.length === 0;
  const current = list.querySelector<HTMLElement>("[aria-selected=true]");
  current?.scrollIntoView({ block: "nearest" });
  if (focused) (current ?? list.querySelector<HTMLElement>(".mark"))?.focus();
  const slide = stage.slide();
  blank.hidden = rows.length > 0;
  blank.replaceChildren(make("p", "blank-title", text(!slide ? "annotations.no-slide" : marks.n() > 0 ? "annotations.none-match" : "annotations.none")));
  if (slide && marks.n() === 0) blank.append(make("p", "", text("annotations.how")));
  head.hidden = !slide;
  search.parentElement?.toggleAttribute("hidden", marks.n() === 0);
}

function drawDetail(): void {
  const mark = marks.selected();
  // While somebody types, the form is theirs.
  if (mark && detail.dataset.id === mark.dto.id && detail.contains(document.activeElement)) return;
  detail.hidden = mark === null;
  detail.dataset.id = mark?.dto.id ?? "";
  if (!mark) return detail.replaceChildren();
  const dto = mark.dto;
  const of = make("select");
  of.append(new Option(text("annotations.no-class"), ""));
  const choices = marks.classes().some((each) => each.name === dto.class?.name) || !dto.class ? marks.classes() : [...marks.classes(), dto.class];
  for (const each of choices) of.append(new Option(each.name, each.name, false, each.name === dto.class?.name));
  of.addEventListener("change", () => void marks.change(dto.id, { class: choices.find((each) => each.name === of.value) ?? null, color: null }));
  const color = make("input", "color");
  color.type = "color";
  color.value = hex(colorOf(dto));
  color.addEventListener("change", () => void marks.change(dto.id, { color: rgb(color.value) }));
  const title = make("input");
  title.value = dto.title;
  title.maxLength = 200;
  const note = make("textarea");
  note.rows = 3;
  note.value = dto.note;
  // Kept while one writes: a pause is enough, and nothing is lost with the window.
  const write = debounce(WRITE_MS, () => {
    const now = marks.get(dto.id)?.dto;
    const words = { title: title.value.trim(), note: note.value.trim() };
    if (now && (now.title !== words.title || now.note !== words.note)) void marks.change(dto.id, words);
  });
  for (const event of ["input", "change"]) title.addEventListener(event, write);
  for (const event of ["input", "change"]) note.addEventListener(event, write);
  const row = make("div", "detail-row");
  row.append(field("annotations.class", of), field("annotations.color", color));
  const foot = make("div", "detail-foot");
  const remove = makeButton("button danger", text("annotations.delete"), () => commands.run("delete-annotation"));
  remove.prepend(makeIcon("delete"));
  foot.append(make("span", "quiet small", [text(`shape.${dto.shape.kind}`), dto.measured].filter(Boolean).join(" · ")), remove);
  detail.replaceChildren(row, field("annotations.title", title), field("annotations.note", note), foot);
  for (const input of detail.querySelectorAll<HTMLInputElement>("input, select, textarea, button")) input.disabled = dto.locked;
  if (dto.locked) detail.append(make("p", "quiet small", text("annotations.locked")));
}

function field(key: string, input: HTMLElement): HTMLElement {
  const label = make("label", "field", text(key));
  label.append(input);
  return label;
}

let filtered = -1;

function drawClassFilter(): void {
  if (filtered === marks.version()) return;
  filtered = marks.version();
  const names = new Set([...marks.all()].map((mark) => mark.dto.class?.name ?? ""));
  classFilter.replaceChildren(new Option(text("annotations.all-classes", { n: number(marks.n()) }), ""));
  for (const name of [...names].sort()) classFilter.append(new Option(name === "" ? text("annotations.no-class") : name, name === "" ? "-" : name));
  if (ofClass !== "" && !names.has(ofClass === "-" ? "" : ofClass)) ofClass = "";
  classFilter.value = ofClass;
}

function drawAll(): void {
  drawState();
  drawClassFilter();
  drawList();
  drawDetail();
  // The tools say whether there is something to take back.
  for (const [id, can] of [["undo", marks.canUndo()], ["redo", marks.canRedo()]] as const) {
    const button = element("tools").querySelector<HTMLButtonElement>(`[data-command=${id}]`);
    if (button) button.disabled = !(can && commands.enabled(id));
  }
}

function build(): void {
  built = "";
  filtered = -1;
  search.type = "search";
  search.placeholder = text("annotations.filter");
  search.setAttribute("aria-label", text("annotations.filter"));
  classFilter.setAttribute("aria-label", text("annotations.class"));
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", text("side.annotations"));
  classes.setAttribute("role", "group");
  classes.setAttribute("aria-label", text("annotations.draw-as"));
  const files = make("div", "marks-files");
  for (const id of ["import-annotations", "export-annotations"]) {
    const button = makeButton("link quiet-link", text(id === "import-annotations" ? "annotations.import" : "annotations.export"), () => {});
    button.dataset.command = id;
    files.append(button);
  }
  const top = make("div", "marks-top");
  top.append(state, files);
  head.replaceChildren(top, make("p", "section-title", text("annotations.draw-as")), classes);
  const bar = make("div", "marks-filter");
  bar.append(search, classFilter);
  panel.replaceChildren(head, bar, list, blank, detail);
  drawClasses();
  detail.dataset.id = "";
  drawAll();
  commands.refresh();
}

export function beginAnnotationPanel(): void {
  panel.classList.add("marks");
  search.addEventListener("input", () => {
    filter = search.value.trim().toLowerCase();
    drawList();
  });
  classFilter.addEventListener("change", () => {
    ofClass = classFilter.value;
    drawList();
  });
  list.addEventListener("keydown", (event) => {
    const rows = [...list.querySelectorAll<HTMLElement>(".mark")];
    const at = rows.indexOf(document.activeElement as HTMLElement);
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    const row = rows[at + step];
    const mark = row && marks.get(row.id.slice("mark-".length));
    if (step !== 0) event.preventDefault();
    if (step !== 0 && row && mark) {
      row.focus();
      goTo(mark);
    } else if (event.key === "Enter") {
      event.preventDefault();
      detail.querySelector<HTMLElement>("input:not(.color)")?.focus();
    }
  });
  let n = -1;
  marks.onChange(() => {
    if (n !== marks.classes().length) {
      n = marks.classes().length;
      drawClasses();
    }
    drawAll();
  });
  stage.onChange(drawState);
  onLanguage(build);
  build();
}
