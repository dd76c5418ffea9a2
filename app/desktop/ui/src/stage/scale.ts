// Where one is on the slide: scale bar, coordinates under the pointer, magnification, rotation. Zooming commands.

import { invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { arrowKeys, element, make, makeButton, makeIcon, openDialog } from "../dom";
import { trying } from "../notice";
import { number, onLanguage, text, tidy } from "../texts";
import type { SlideDto } from "../wire";
import { stage, tabbing } from "./stage";
import { view, type Point } from "./view";

/** Lengths that a scale bar may show, in micrometres or pixels. */
const ROUND_LENGTHS = [0, 1, 2, 3, 4, 5].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));
const LONGEST_BAR_PX = 120;
/** Presets of the table of commands, by the end of their names. */
const PRESETS: Record<string, number> = { "1": 1.25, "2": 2.5, "5": 5, "10": 10, "20": 20, "40": 40 };
let pointer: Point | null = null;

/** A length of base pixels as a person reads it. */
export function length(slide: SlideDto, base_px: number): string {
  if (slide.mpp === null) return text("unit.px", { n: number(base_px) });
  const um = base_px * slide.mpp;
  return um >= 1000 ? text("unit.mm", { n: number(um / 1000, um >= 10_000 ? 1 : 2) }) : text("unit.um", { n: number(um, um < 10 ? 1 : 0) });
}

function showScale(): void {
  const slide = stage.slide();
  if (!slide) return;
  const zoom = view.zoom();
  const unitPerViewPx = (slide.mpp ?? 1) / zoom;
  const bar = ROUND_LENGTHS.filter((each) => each / unitPerViewPx <= LONGEST_BAR_PX).at(-1) ?? 1;
  element("scale-line").style.width = `${Math.round(bar / unitPerViewPx)}px`;
  element("scale-text").textContent = length(slide, bar / (slide.mpp ?? 1));
  element("zoom").textContent = magnification(slide, zoom);
  const degrees = Math.round(view.rotation());
  const rotation = element("rotation");
  rotation.hidden = degrees % 360 === 0;
  rotation.replaceChildren(makeIcon("rotate"), `${number(degrees)}°`);
}

function magnification(slide: SlideDto, zoom: number): string {
  const power = slide.magnification;
  if (power === null) return `${number(zoom * 100, zoom < 0.1 ? 1 : 0)} %`;
  const shown = power * zoom;
  return `${number(shown, shown < 10 ? (shown < 1 ? 2 : 1) : 0)}×`;
}

function showPointer(): void {
  const slide = stage.slide();
  const place = element("coordinates");
  if (!slide || !pointer) {
    place.textContent = "";
    return;
  }
  const [x, y] = view.baseAt(pointer);
  const inside = x >= 0 && y >= 0 && x < slide.width_px && y < slide.height_px;
  place.textContent = inside ? `${number(Math.floor(x))}, ${number(Math.floor(y))} px` : "";
}

/** The menu of magnifications: each with its true size, and whether the file holds just that. */
function buildMenu(slide: SlideDto): void {
  const menu = element("zoom-menu");
  const item = (name: string, detail: string, note: string, key: string, run: () => void) => {
    const row = makeButton("menu-item", "", () => {
      menu.hidePopover();
      run();
    });
    row.setAttribute("role", "menuitem");
    row.append(make("span", "menu-name", name), make("span", "menu-detail", detail), make("span", "menu-note", note), make("kbd", "menu-key", key));
    menu.append(row);
  };
  const size = (width_px: number, height_px: number) => `${number(width_px)} × ${number(height_px)} px`;
  const level = (downsample: number) => slide.levels.findIndex((each) => Math.abs(each.downsample / downsample - 1) < 0.02);
  menu.replaceChildren();
  item(text("command.zoom-whole"), "", "", commands.key("zoom-whole"), () => view.home());
  for (const preset of slide.presets) {
    const name = Object.keys(PRESETS).find((each) => PRESETS[each] === preset.magnification) ?? "";
    const at = level(preset.downsample);
    const scale = slide.mpp === null ? "" : ` · ${number(slide.mpp * preset.downsample, 2)} µm/px`;
    const note = at >= 0 ? text("zoom.level", { n: at }) : preset.downsample < 0.98 ? text("zoom.empty") : "";
    item(`${tidy(preset.magnification, 2)}×`, size(preset.width_px, preset.height_px) + scale, note, commands.key(`magnify-${name}`), () => view.setZoom(1 / preset.downsample));
  }
  if (slide.presets.length === 0) {
    for (const each of slide.levels) item(`${tidy(100 / each.downsample, 1)} %`, size(each.width_px, each.height_px), text("zoom.level", { n: slide.levels.indexOf(each) }), "", () => view.setZoom(1 / each.downsample));
  }
  item(text("command.set-scale"), "", slide.mpp === null ? text("information.no-scale") : `${tidy(slide.mpp, 4)} µm/px`, "", () => commands.run("set-scale"));
}

/** States the scale of a slide that has none, or a wrong one. */
function askScale(slide: SlideDto): void {
  const form = make("form", "class-form");
  const input = make("input");
  input.type = "number";
  input.step = "any";
  input.min = "0.01";
  input.max = "1000";
  input.value = slide.mpp === null ? "" : String(slide.mpp);
  const label = make("label", "field", text("scale.um-per-px"));
  label.append(input);
  const said = make("p", "quiet small", slide.file_mpp === null ? text("scale.file-none") : text("scale.file", { scale: tidy(slide.file_mpp, 4) }));
  const state = async (um_per_px: number | null) => {
    const stated = await trying(() => invoke<SlideDto>("state_scale", { slide: slide.handle, umPerPx: um_per_px }));
    if (!stated) return;
    dialog.close();
    tabbing.describe(stated);
    view.redraw();
  };
  const row = make("div", "dialog-row");
  if (slide.mpp !== slide.file_mpp) row.append(makeButton("button", text("scale.take-back"), () => void state(null)));
  const save = make("button", "button primary", text("dialog.save"));
  save.type = "submit";
  row.append(makeButton("button", text("dialog.cancel"), () => dialog.close()), save);
  form.append(make("p", "", text("scale.why")), label, said, row);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value !== "") void state(Number(input.value));
  });
  const dialog = openDialog("narrow", text("command.set-scale").replace(/…$/, ""), form);
  input.select();
}

export function beginScale(): void {
  const menu = element("zoom-menu");
  element("zoom").addEventListener("click", () => {
    const slide = stage.slide();
    if (!slide) return;
    if (menu.matches(":popover-open")) return menu.hidePopover();
    buildMenu(slide);
    menu.showPopover();
    menu.querySelector<HTMLElement>("button")?.focus();
  });
  menu.addEventListener("toggle", (event) => element("zoom").setAttribute("aria-expanded", String((event as ToggleEvent).newState === "open")));
  arrowKeys(menu, () => [...menu.querySelectorAll<HTMLElement>("button")]);
  commands.on("set-scale", () => {
    const slide = stage.slide();
    if (slide) askScale(slide);
  });
  let minimap = true;
  commands.on("minimap", () => {
    minimap = !minimap;
    view.minimap(minimap);
    element("tools").querySelector("[data-command=minimap]")?.setAttribute("aria-pressed", String(minimap));
  });
  // Said aloud when the view has come to rest, not at every step.
  view.onSettled(() => {
    const slide = stage.slide();
    if (slide) element("said").textContent = text("status.said", { zoom: magnification(slide, view.zoom()), x: number(Math.round(view.placement()?.center_base_px[0] ?? 0)), y: number(Math.round(view.placement()?.center_base_px[1] ?? 0)) });
  });
  view.onFrame(() => {
    showScale();
    showPointer();
  });
  onLanguage(() => view.redraw());
  tabbing.onChange(() => {
    element("status").hidden = stage.slide() === null;
  });
  const place = element("viewer");
  place.addEventListener(
    "pointermove",
    (event) => {
      const box = place.getBoundingClientRect();
      pointer = [event.clientX - box.left, event.clientY - box.top];
      showPointer();
    },
    { capture: true },
  );
  place.addEventListener("pointerleave", () => {
    pointer = null;
    showPointer();
  });
  commands.on("zoom-in", () => view.zoomBy(1.6));
  commands.on("zoom-out", () => view.zoomBy(1 / 1.6));
  commands.on("zoom-whole", () => view.home());
  for (const [name, power] of Object.entries(PRESETS)) {
    commands.on(`magnify-${name}`, () => {
      const slide = stage.slide();
      // Without any scale, the finest preset shows pixels as they are.
      if (slide) view.setZoom(power / (slide.magnification ?? 40));
    });
  }
  const step = 0.2;
  commands.on("pan-left", () => view.panBy(-step, 0));
  commands.on("pan-right", () => view.panBy(step, 0));
  commands.on("pan-up", () => view.panBy(0, -step));
  commands.on("pan-down", () => view.panBy(0, step));
  commands.on("rotate-left", () => view.rotateBy(-15));
  commands.on("rotate-right", () => view.rotateBy(15));
  commands.on("rotate-reset", () => view.rotateTo(0));
}
