// The side: four panels behind one list of tabs, and its width.

import { invoke } from "@tauri-apps/api/core";

import { commands } from "./commands";
import { arrowKeys, debounce, element } from "./dom";
import { trying } from "./notice";

export type Panel = "ask" | "similar" | "annotations" | "cases";
const PANELS: Panel[] = ["ask", "similar", "annotations", "cases"];
const LEAST_PX = 300;
const KEY = "side";

interface Kept {
  panel: Panel;
  width_px: number;
  hidden: boolean;
}

const calls: ((panel: Panel) => void)[] = [];
let kept: Kept = { panel: "ask", width_px: 400, hidden: false };

/** Calls when a panel comes to the front. */
export function onPanel(call: (panel: Panel) => void): void {
  calls.push(call);
}

/** Brings a panel to the front. */
export function showPanel(panel: Panel): void {
  kept = { ...kept, panel, hidden: false };
  draw();
  for (const call of calls) call(panel);
}

/** The panel in front; null while the side is hidden. */
export function panelShown(): Panel | null {
  return kept.hidden ? null : kept.panel;
}

const remember = debounce(400, () => void trying(() => invoke("remember_sidebar", { widthPx: Math.round(kept.width_px) })));

function draw(): void {
  for (const panel of PANELS) {
    const tab = element(`tab-${panel}`);
    const chosen = panel === kept.panel;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    element(`panel-${panel}`).hidden = !chosen;
  }
  element("work").classList.toggle("without-side", kept.hidden);
  element("side").hidden = kept.hidden;
  element("divider").hidden = kept.hidden;
  const most_px = Math.max(LEAST_PX, Math.min(900, window.innerWidth - 420));
  const width_px = Math.round(Math.min(Math.max(kept.width_px, LEAST_PX), most_px));
  document.documentElement.style.setProperty("--side-width", kept.hidden ? "0px" : `${width_px}px`);
  const divider = element("divider");
  divider.setAttribute("aria-valuenow", String(width_px));
  divider.setAttribute("aria-valuemin", String(LEAST_PX));
  divider.setAttribute("aria-valuemax", String(most_px));
  localStorage.setItem(KEY, JSON.stringify(kept));
}

export function beginSide(width_px: number | null): void {
  try {
    kept = { ...kept, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Kept>) };
  } catch {
    // What cannot be read is forgotten.
  }
  if (width_px !== null) kept = { ...kept, width_px };
  if (!PANELS.includes(kept.panel)) kept.panel = "ask";
  for (const panel of PANELS) {
    element(`tab-${panel}`).addEventListener("click", () => showPanel(panel));
    commands.on(`panel-${panel}`, () => {
      showPanel(panel);
      element(`tab-${panel}`).focus();
    });
  }
  commands.on("sidebar", () => {
    kept = { ...kept, hidden: !kept.hidden };
    draw();
  });
  arrowKeys(element("side-tabs"), () => PANELS.map((panel) => element(`tab-${panel}`)), (item) => item.click());
  const divider = element("divider");
  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    const move = (at: PointerEvent) => {
      kept = { ...kept, width_px: window.innerWidth - at.clientX };
      draw();
      remember();
    };
    divider.addEventListener("pointermove", move);
    divider.addEventListener("pointerup", () => divider.removeEventListener("pointermove", move), { once: true });
  });
  divider.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowLeft" ? 24 : event.key === "ArrowRight" ? -24 : 0;
    if (step === 0) return;
    event.preventDefault();
    kept = { ...kept, width_px: element("side").clientWidth + step };
    draw();
    remember();
  });
  window.addEventListener("resize", draw);
  draw();
}
