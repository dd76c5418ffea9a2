// The words of the interface, out of the one catalogue that Rust holds (`assets/texts.toml`).
//
// In index.html, `data-text` with a key fills in an element's text, and `data-text-title`, `data-text-aria-label`,
// `data-text-placeholder` an attribute. A part that makes its own elements asks `text` again on `onLanguage`.

import { invoke } from "@tauri-apps/api/core";

import type { TextsDto } from "./wire";

let words: Record<string, string> = {};
let code = "en";
const listeners: (() => void)[] = [];
const ATTRIBUTES = ["title", "aria-label", "placeholder"];

/** The text of a key, its places filled in; the key itself, where there is none. */
export function text(key: string, values: Record<string, string | number> = {}): string {
  let found = words[key] ?? key;
  for (const [name, value] of Object.entries(values)) found = found.replaceAll(`{${name}}`, String(value));
  return found;
}

/** The language that is shown. */
export function language(): string {
  return code;
}

/** Calls when the language has changed. */
export function onLanguage(call: () => void): void {
  listeners.push(call);
}

/** Fills in the texts of a part of the page. */
export function fillTexts(root: ParentNode): void {
  for (const place of root.querySelectorAll<HTMLElement>("[data-text]")) place.textContent = text(place.dataset.text ?? "");
  for (const attribute of ATTRIBUTES) {
    for (const place of root.querySelectorAll(`[data-text-${attribute}]`)) {
      place.setAttribute(attribute, text(place.getAttribute(`data-text-${attribute}`) ?? ""));
    }
  }
}

/** Shows these words from now on. */
export function useTexts(texts: TextsDto): void {
  words = texts.words;
  code = texts.language;
  document.documentElement.lang = code === "zh" ? "zh-Hans" : code;
  fillTexts(document);
  for (const call of listeners) call();
}

/** Changes to another language, which is remembered. */
export async function changeLanguage(to: string): Promise<void> {
  useTexts(await invoke<TextsDto>("texts", { language: to }));
}

/** A number as the language writes it, without zeros that say nothing. */
export function tidy(value: number, digits: number): string {
  return value.toLocaleString(code === "zh" ? "zh-CN" : "en-GB", { maximumFractionDigits: digits });
}

/** A number as the language writes it. */
export function number(value: number, digits = 0): string {
  return value.toLocaleString(code === "zh" ? "zh-CN" : "en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
