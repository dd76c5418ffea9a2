// Where one is on the slide: scale bar, coordinates under the pointer, magnification, rotation. Zooming commands.

import { commands } from "../commands";
import { element } from "../dom";
import { number, onLanguage, text } from "../texts";
import type { SlideDto } from "../wire";
import { stage, tabbing } from "./stage";
import { view, type Point } from "./view";

/** Lengths that a scale bar may show, in micrometres or pixels. */
const ROUND_LENGTHS = [0, 1, 2, 3, 4, 5].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));
const LONGEST_BAR_PX = 120;
/** Presets of the table of commands, by the end of their names. */
const PRESETS: Record<string, number> = { "1": 1.25, "2": 2.5, "5": 5, "10": 10, "20": 20, "40": 40 };
/** Scale of a tenfold objective, by convention. */
const UM_PER_PX_AT_1X = 10;

let pointer: Point | null = null;

/** Objective power at which one base pixel is one pixel: as the file states it, else by its scale. */
export function basePower(slide: SlideDto): number | null {
  return slide.magnification ?? (slide.mpp === null ? null : UM_PER_PX_AT_1X / slide.mpp);
}

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
}

function magnification(slide: SlideDto, zoom: number): string {
  const power = basePower(slide);
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

export function beginScale(): void {
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
      if (slide) view.setZoom(power / (basePower(slide) ?? 40));
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
