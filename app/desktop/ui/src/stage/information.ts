// What is known of a slide. What may name a patient (label, photograph of the glass, the file's own words) stays
// hidden until it is asked for, each time.

import { invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { make, makeButton, makeIcon, openDialog } from "../dom";
import { trying } from "../notice";
import { number, text, tidy } from "../texts";
import type { AssociatedDto, InformationDto, PropertyDto, SlideDto } from "../wire";
import { length } from "./scale";
import { stage } from "./stage";

function facts(slide: SlideDto): HTMLElement {
  const list = make("dl", "facts");
  const add = (key: string, value: string) => list.append(make("dt", "", text(key)), make("dd", "", value));
  add("information.file", slide.path);
  add("information.format", slide.format);
  const size = `${number(slide.width_px)} × ${number(slide.height_px)} px`;
  add("information.size", slide.mpp === null ? size : `${size} · ${length(slide, slide.width_px)} × ${length(slide, slide.height_px)}`);
  const typed = slide.mpp !== null && slide.mpp !== slide.file_mpp;
  add("information.scale", slide.mpp === null ? text("information.no-scale") : `${tidy(slide.mpp, 4)} µm/px${typed ? ` · ${text("information.typed")}` : ""}`);
  add("information.magnification", slide.magnification === null ? text("information.unknown") : `${tidy(slide.magnification, 1)}×`);
  add("information.id", slide.id);
  return list;
}

function levels(slide: SlideDto): HTMLElement {
  const table = make("table", "levels");
  const head = make("tr");
  for (const key of ["information.level", "information.size", "information.scale", "information.magnification"]) {
    const cell = make("th", "", text(key));
    cell.scope = "col";
    head.append(cell);
  }
  table.append(head);
  slide.levels.forEach((level, at) => {
    const row = make("tr");
    const power = slide.magnification === null ? "" : `${tidy(slide.magnification / level.downsample, 2)}×`;
    const scale = slide.mpp === null ? `1 : ${tidy(level.downsample, 1)}` : `${tidy(slide.mpp * level.downsample, 3)} µm/px`;
    for (const cell of [String(at), `${number(level.width_px)} × ${number(level.height_px)} px`, scale, power]) row.append(make("td", "", cell));
    table.append(row);
  });
  return table;
}

/** Something that may name a patient: said so, and shown when pressed. */
function veil(words: string, label: string, reveal: () => Promise<HTMLElement | undefined>): HTMLElement {
  const box = make("div", "veil");
  const button = makeButton("button", label, () => {
    button.disabled = true;
    void reveal().then((content) => {
      if (content) box.replaceChildren(content);
      else button.disabled = false;
    });
  });
  box.append(makeIcon("warning"), make("span", "", words), button);
  return box;
}

async function picture(slide: SlideDto, image: AssociatedDto): Promise<HTMLElement | undefined> {
  const url = await trying(() => invoke<string>("associated_image", { slide: slide.handle, name: image.name }));
  if (url === undefined) return undefined;
  const shown = make("img", "associated-image");
  shown.src = url;
  shown.alt = image.name;
  return shown;
}

function associated(slide: SlideDto, image: AssociatedDto): HTMLElement {
  const figure = make("figure", "associated");
  figure.append(make("figcaption", "", `${image.name} · ${number(image.width_px)} × ${number(image.height_px)} px`));
  if (image.sensitive) figure.append(veil(text("information.may-name"), text("information.show"), () => picture(slide, image)));
  else void picture(slide, image).then((shown) => shown && figure.append(shown));
  return figure;
}

async function properties(slide: SlideDto): Promise<HTMLElement | undefined> {
  const all = await trying(() => invoke<PropertyDto[]>("slide_properties", { slide: slide.handle }));
  if (!all) return undefined;
  const list = make("dl", "facts properties");
  for (const { name, value } of all) list.append(make("dt", "", name), make("dd", "", value));
  return list;
}

export function beginInformation(): void {
  commands.on("slide-information", () => {
    const slide = stage.slide();
    if (!slide) return;
    void trying(async () => {
      const known = await invoke<InformationDto>("slide_information", { slide: slide.handle });
      const content = make("div", "dialog-scroll");
      content.append(facts(slide));
      if (slide.levels.length > 1) content.append(make("h3", "section-title", text("information.levels")), levels(slide));
      if (known.associated.length > 0) {
        const pictures = make("div", "associated-row");
        pictures.append(...known.associated.map((image) => associated(slide, image)));
        content.append(make("h3", "section-title", text("information.associated")), pictures);
      }
      if (known.n_property > 0) {
        content.append(
          make("h3", "section-title", text("information.properties", { n: known.n_property })),
          veil(text("information.may-name"), text("information.show"), () => properties(slide)),
        );
      }
      const row = make("div", "dialog-row");
      const close = makeButton("button primary", text("dialog.close"), () => dialog.close());
      row.append(makeButton("button", text("command.set-scale"), () => {
        dialog.close();
        commands.run("set-scale");
      }), close);
      const dialog = openDialog("wide information", slide.title, content, row);
      close.focus();
    });
  });
}
