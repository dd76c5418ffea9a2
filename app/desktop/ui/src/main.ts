// The window: wires the slide view, the questions, opening and errors together. Behaviour lives in Rust.

import { invoke } from "@tauri-apps/api/core";
import { getCurrentWebview } from "@tauri-apps/api/webview";

import { AskPanel } from "./ask";
import { element, make } from "./dom";
import { SlideView } from "./viewer";
import type { ErrorDto, ModelDto, SlideDto, StartupDto } from "./wire";

const view = new SlideView((message) => showError({ code: "tile", message, hint: null }));
const ask = new AskPanel(
  () => view.view(),
  (place) => view.show(place),
);

function showError(error: ErrorDto): void {
  // A second error must not push away one that nobody has read yet.
  const unread = element("error").hidden ? "" : `${element("error-message").textContent}\n`;
  element("error-message").textContent = unread + error.message;
  element("error-hint").textContent = error.hint ?? "";
  element("error").hidden = false;
}

function showSlide(slide: SlideDto): void {
  element("title").textContent = slide.title;
  const facts = [
    slide.format,
    `${slide.width_px} × ${slide.height_px} px`,
    slide.mpp === null ? "scale unknown" : `${slide.mpp.toFixed(3)} µm/px`,
    slide.magnification === null ? "" : `${slide.magnification}×`,
  ];
  element("facts").replaceChildren(...facts.filter((fact) => fact !== "").map((fact) => make("li", "", fact)));
  void view.open(slide);
  ask.slideOpened(slide.handle);
  element("error").hidden = true;
}

function showModel(model: ModelDto): void {
  element("model").textContent = `${model.name} · ${model.device}`;
  element("notice").textContent = model.notice;
}

/** Runs a command that may open a slide, and shows what came of it. */
async function opening(command: string, args: Record<string, unknown> = {}): Promise<void> {
  try {
    const slide = await invoke<SlideDto | null>(command, args);
    if (slide) showSlide(slide);
  } catch (error) {
    showError(error as ErrorDto);
  }
}

element("open").addEventListener("click", () => void opening("open_dialog"));
element("error-close").addEventListener("click", () => (element("error").hidden = true));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") void ask.halt();
  if (event.target instanceof HTMLTextAreaElement) return;
  if (event.key === "o" && (event.ctrlKey || event.metaKey)) void opening("open_dialog");
  if (event.key === "+" || event.key === "=") view.zoomBy(1.6);
  if (event.key === "-") view.zoomBy(1 / 1.6);
  if (event.key === "0") view.home();
});

void getCurrentWebview().onDragDropEvent(({ payload }) => {
  const stage = document.querySelector(".stage");
  stage?.classList.toggle("dropping", payload.type === "enter" || payload.type === "over");
  const path = payload.type === "drop" ? payload.paths[0] : undefined;
  if (path !== undefined) void opening("open_path", { path });
});

async function start(): Promise<void> {
  try {
    const startup = await invoke<StartupDto>("startup");
    element("notice").textContent = startup.notice;
    ask.suggest(startup.suggestions);
    if (startup.slide) showSlide(startup.slide);
    if (startup.error) showError(startup.error);
    showModel(await invoke<ModelDto>("model"));
  } catch (error) {
    showError(error as ErrorDto);
  }
}
void start();
