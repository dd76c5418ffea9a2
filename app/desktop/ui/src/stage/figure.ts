// A figure: the view, the chosen annotation or the whole slide as a picture file, larger than the screen. What it
// will be is said before it is written.

import { Channel, invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { make, makeButton, openDialog } from "../dom";
import { asReport, showError, showNews } from "../notice";
import { number, text } from "../texts";
import type { CornerDto, FigureDto, SlideDto } from "../wire";
import { boundsOf, marks } from "./marks";
import { marksShown } from "./overlay";
import { stage } from "./stage";
import { NEUTRAL_LOOK, view } from "./view";

type What = "view" | "selection" | "slide";
/** As Rust's `FIGURE_PX_MAX`. */
const MOST_PX = 200_000_000;
/** Tissue around a chosen annotation, as a share of its size. */
const MARGIN = 0.1;

interface Frame {
  center_base_px: [number, number];
  /** Size in base pixels. */
  size_base_px: [number, number];
  rotation_degrees: number;
}

function frameOf(what: What, slide: SlideDto): Frame {
  const placement = view.placement();
  if (what === "view" && placement) {
    const [width, height] = view.size();
    return { center_base_px: placement.center_base_px, size_base_px: [width * placement.downsample, height * placement.downsample], rotation_degrees: placement.rotation_degrees };
  }
  const mark = marks.selected();
  if (what === "selection" && mark) {
    const { x_base_px, y_base_px, width_base_px, height_base_px } = boundsOf(mark, slide);
    const margin = 2 * MARGIN * Math.max(width_base_px, height_base_px, 100);
    return { center_base_px: [x_base_px + width_base_px / 2, y_base_px + height_base_px / 2], size_base_px: [width_base_px + margin, height_base_px + margin], rotation_degrees: 0 };
  }
  return { center_base_px: [slide.width_px / 2, slide.height_px / 2], size_base_px: [slide.width_px, slide.height_px], rotation_degrees: 0 };
}

function labelled(key: string, input: HTMLElement): HTMLElement {
  const label = make("label", "field", text(key));
  label.append(input);
  return label;
}

function select(choices: [string, string][]): HTMLSelectElement {
  const made = make("select");
  for (const [value, words] of choices) made.append(new Option(words, value));
  return made;
}

function check(key: string, checked: boolean): [HTMLElement, HTMLInputElement] {
  const label = make("label", "check");
  const box = make("input");
  box.type = "checkbox";
  box.checked = checked;
  label.append(box, make("span", "", text(key)));
  return [label, box];
}

function open(slide: SlideDto): void {
  const whats: [string, string][] = [["view", text("figure.view")], ["slide", text("figure.slide")]];
  if (marks.selected()) whats.splice(1, 0, ["selection", text("figure.selection")]);
  const what = select(whats);
  const scales: [string, string][] = [["screen-1", text("figure.screen", { n: 1 })], ["screen-2", text("figure.screen", { n: 2 })], ["screen-4", text("figure.screen", { n: 4 })]];
  for (const preset of slide.presets) scales.push([`down-${preset.downsample}`, `${preset.magnification}×`]);
  scales.push(["down-1", text("figure.base")]);
  const scale = select(scales);
  scale.value = "screen-2";
  const ending = select([["png", "PNG"], ["jpg", "JPEG"], ["tif", "TIFF"]]);
  const bar = select([["bottom_left", text("figure.bottom-left")], ["bottom_right", text("figure.bottom-right")], ["top_left", text("figure.top-left")], ["top_right", text("figure.top-right")], ["", text("figure.no-bar")]]);
  const [drawnRow, drawn] = check("figure.annotations", marks.n() > 0 && marksShown());
  drawn.disabled = marks.n() === 0;
  const [lookRow, look] = check("figure.look", true);
  lookRow.hidden = slide.look === NEUTRAL_LOOK;
  const size = make("p", "figure-size");
  size.setAttribute("role", "status");
  const meter = make("progress");
  meter.max = 1;
  meter.hidden = true;

  const request = (): FigureDto => {
    const frame = frameOf(what.value as What, slide);
    const [kind, value] = scale.value.split("-");
    const downsample = kind === "screen" ? 1 / view.zoom() / Number(value) : Number(value);
    return {
      center_base_px: frame.center_base_px,
      downsample,
      width_px: Math.max(1, Math.round(frame.size_base_px[0] / downsample)),
      height_px: Math.max(1, Math.round(frame.size_base_px[1] / downsample)),
      rotation_degrees: frame.rotation_degrees,
      look: look.checked ? slide.look : NEUTRAL_LOOK,
      annotations: drawn.checked,
      scale_bar: bar.value === "" ? null : (bar.value as CornerDto),
      ending: ending.value,
    };
  };
  const row = make("div", "dialog-row");
  const save = makeButton("button primary", text("figure.save"), () => void write());
  const cancel = makeButton("button", text("dialog.cancel"), () => {
    void invoke("stop_figure");
    dialog.close();
  });
  row.append(cancel, save);
  const say = () => {
    const { width_px, height_px, downsample } = request();
    const fits = width_px * height_px <= MOST_PX;
    const scaled = slide.mpp === null ? "" : ` · ${number(slide.mpp * downsample, 3)} µm/px`;
    size.textContent = `${number(width_px)} × ${number(height_px)} px${scaled}${fits ? "" : ` · ${text("figure.too-large", { n: number(MOST_PX / 1e6) })}`}`;
    size.classList.toggle("bad", !fits);
    save.disabled = !fits;
  };
  const write = async () => {
    const progress = new Channel<number>();
    progress.onmessage = (share) => {
      meter.hidden = false;
      meter.value = share;
    };
    save.disabled = true;
    try {
      const place = await invoke<string | null>("export_figure", { slide: slide.handle, figure: request(), path: null, progress });
      if (place === null) {
        save.disabled = false;
        meter.hidden = true;
        return;
      }
      dialog.close();
      showNews(text("figure.saved", { path: place }));
    } catch (error) {
      save.disabled = false;
      meter.hidden = true;
      showError(asReport(error));
    }
  };
  const grid = make("div", "figure-grid");
  grid.append(labelled("figure.what", what), labelled("figure.scale", scale), labelled("figure.format", ending), labelled("figure.bar", bar), drawnRow, lookRow);
  grid.addEventListener("change", say);
  const dialog = openDialog("", text("command.export-figure").replace(/…$/, ""), grid, size, meter, row);
  say();
  what.focus();
}

export function beginFigure(): void {
  commands.on("export-figure", () => {
    const slide = stage.slide();
    if (slide) open(slide);
  });
}
