// How the slide is shown: brightness, contrast, gamma, one stain. A look is a code in the addresses of tiles
// (`Look::code` of Rust), kept for each slide.

import { invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { debounce, element, make, makeButton } from "../dom";
import { trying } from "../notice";
import { number, onLanguage, text } from "../texts";
import { stage, tabbing } from "./stage";
import { NEUTRAL_LOOK, view } from "./view";

interface Look {
  brightness: number;
  contrast: number;
  /** Hundredths. */
  gamma: number;
  stain: string;
}

/** Codes of the views of one stain, in the order of the menu; some in grey. */
const STAINS = ["all", "h", "h-grey", "e", "e-grey", "d", "d-grey", "hd"];
/** Commands that choose a view of stains. */
const STAIN_COMMANDS: Record<string, string> = { natural: "all", haematoxylin: "h", eosin: "e", dab: "d" };
/** While a slider moves, tiles are asked for at most so often. */
const SHOW_MS = 120;

const popover = element("look");

function parse(code: string): Look {
  const [brightness, contrast, gamma, stain] = code.split(".");
  return { brightness: Number(brightness), contrast: Number(contrast), gamma: Number(gamma), stain: stain ?? "all" };
}

function write(look: Look): string {
  return `${look.brightness}.${look.contrast}.${look.gamma}.${look.stain}`;
}

function current(): string {
  return stage.slide()?.look ?? NEUTRAL_LOOK;
}

const show = debounce(SHOW_MS, () => {
  view.setLook(current());
  const slide = stage.slide();
  if (slide) void trying(() => invoke("remember_look", { slide: slide.handle, look: slide.look }));
});

function set(parts: Partial<Look>): void {
  const slide = stage.slide();
  if (!slide) return;
  slide.look = write({ ...parse(slide.look), ...parts });
  showButton();
  show();
}

function showButton(): void {
  const changed = current() !== NEUTRAL_LOOK;
  element("look-button").classList.toggle("changed", changed);
  const { stain } = parse(current());
  const words = element("look-button").querySelector("span");
  if (words) words.textContent = stain === "all" ? text(changed ? "look.changed" : "status.look") : text(`stain.${stain}`);
}

function slider(key: string, part: "brightness" | "contrast" | "gamma", least: number, most: number, neutral: number): HTMLElement {
  const row = make("label", "slider");
  const value = make("output", "slider-value");
  const input = make("input");
  input.type = "range";
  input.min = String(least);
  input.max = String(most);
  input.step = part === "gamma" ? "5" : "1";
  input.value = String(parse(current())[part]);
  const say = () => {
    const at = Number(input.value);
    value.textContent = part === "gamma" ? number(at / 100, 2) : `${at > 0 ? "+" : ""}${number(at)}`;
    row.classList.toggle("changed", at !== neutral);
  };
  input.addEventListener("input", () => {
    set({ [part]: Number(input.value) });
    say();
  });
  input.addEventListener("dblclick", () => {
    input.value = String(neutral);
    input.dispatchEvent(new Event("input"));
  });
  say();
  row.append(make("span", "", text(key)), value, input);
  return row;
}

function build(): void {
  const stains = make("div", "stains");
  stains.setAttribute("role", "radiogroup");
  stains.setAttribute("aria-label", text("look.stain"));
  for (const stain of STAINS) {
    const label = make("label", "stain");
    const radio = make("input");
    radio.type = "radio";
    radio.name = "stain";
    radio.checked = parse(current()).stain === stain;
    radio.addEventListener("change", () => set({ stain }));
    label.append(radio, make("span", "", text(`stain.${stain}`)));
    stains.append(label);
  }
  const reset = makeButton("button", text("look.reset"), () => commands.run("look-reset"));
  popover.replaceChildren(
    make("p", "section-title", text("look.light")),
    slider("look.brightness", "brightness", -100, 100, 0),
    slider("look.contrast", "contrast", -100, 100, 0),
    slider("look.gamma", "gamma", 10, 500, 100),
    make("p", "section-title", text("look.stain")),
    stains,
    make("p", "quiet small", text("look.note")),
    reset,
  );
}

export function beginLook(): void {
  commands.on("look", () => {
    if (popover.matches(":popover-open")) return popover.hidePopover();
    build();
    popover.showPopover();
    popover.querySelector<HTMLElement>("input")?.focus();
  });
  commands.on("look-reset", () => {
    set(parse(NEUTRAL_LOOK));
    if (popover.matches(":popover-open")) build();
  });
  for (const [name, stain] of Object.entries(STAIN_COMMANDS)) {
    commands.on(`stain-${name}`, () => {
      set({ stain });
      if (popover.matches(":popover-open")) build();
    });
  }
  popover.addEventListener("toggle", (event) => {
    const open = (event as ToggleEvent).newState === "open";
    element("look-button").setAttribute("aria-expanded", String(open));
    if (!open && popover.contains(document.activeElement)) element("look-button").focus();
  });
  tabbing.onChange(showButton);
  onLanguage(showButton);
}
