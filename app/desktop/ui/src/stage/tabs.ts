// The strip of tabs: one for each slide. Arrow keys move along it, Delete or the middle button closes.

import { commands } from "../commands";
import { arrowKeys, element, make, makeButton, makeIcon } from "../dom";
import { onLanguage, text } from "../texts";
import { tabbing, type Tab } from "./stage";

const strip = element("tabs");

function makeTab(tab: Tab): HTMLElement {
  const chosen = tab === tabbing.active();
  const item = make("div", "tab-item");
  item.setAttribute("role", "presentation");
  const button = makeButton("tab", tab.title, () => void tabbing.activate(tab));
  button.setAttribute("role", "tab");
  button.setAttribute("aria-selected", String(chosen));
  button.setAttribute("aria-controls", "viewer");
  button.tabIndex = chosen ? 0 : -1;
  button.title = tab.path;
  button.addEventListener("keydown", (event) => {
    if (event.key !== "Delete") return;
    event.preventDefault();
    void tabbing.close(tab);
  });
  // The list of tabs is one stop of the focus; from the keyboard a tab closes by its own key.
  const close = makeButton("tab-close", "", () => void tabbing.close(tab));
  close.append(makeIcon("close"));
  close.tabIndex = -1;
  close.title = text("tabs.close", { name: tab.title });
  close.setAttribute("aria-label", close.title);
  item.append(button, close);
  item.addEventListener("auxclick", (event) => {
    if (event.button === 1) void tabbing.close(tab);
  });
  return item;
}

function draw(): void {
  const focused = strip.contains(document.activeElement);
  strip.replaceChildren(...tabbing.all().map(makeTab));
  const shown = strip.querySelector<HTMLElement>("[aria-selected=true]");
  shown?.parentElement?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (focused) shown?.focus();
  const tab = tabbing.active();
  document.title = tab ? `${tab.title} – Eosin` : "Eosin";
  element("empty").hidden = tab !== null;
  element("stage").classList.toggle("without-slide", tab === null);
  element("opening").hidden = tab === null || tab.slide !== null;
}

function step(by: number): void {
  const all = tabbing.all();
  const tab = tabbing.active();
  if (!tab) return;
  const next = all[(all.indexOf(tab) + by + all.length) % all.length];
  if (next) void tabbing.activate(next);
}

export function beginTabs(): void {
  arrowKeys(strip, () => [...strip.querySelectorAll<HTMLElement>("[role=tab]")]);
  // A wheel over the strip moves along it.
  strip.addEventListener("wheel", (event) => (strip.scrollLeft += event.deltaY + event.deltaX), { passive: true });
  tabbing.onChange(draw);
  onLanguage(draw);
  commands.on("next-tab", () => step(1));
  commands.on("previous-tab", () => step(-1));
  commands.on("close-tab", () => {
    const tab = tabbing.active();
    if (tab) void tabbing.close(tab);
  });
}
