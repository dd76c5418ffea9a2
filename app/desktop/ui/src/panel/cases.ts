// The case book: every chat that was kept, by time or by words, and what can be written of it.

import { invoke } from "@tauri-apps/api/core";

import { debounce, element, make, makeButton, makeIcon, openDialog } from "../dom";
import { showError, showNews, trying } from "../notice";
import { language, number, onLanguage, text } from "../texts";
import type { AuditDto, ChatSummaryDto, ExportDto } from "../wire";
import { askPanel, makeEmpty } from "./ask";
import { onPanel, showPanel } from "../side";

let turn = 0;

export function beginCases(): void {
  const search = element<HTMLInputElement>("case-search");
  search.addEventListener("input", debounce(200, () => void refresh()));
  onPanel((name) => {
    if (name === "cases") void refresh();
  });
  onLanguage(() => void refresh());
  element("audit").addEventListener("click", () => void audit());
}

async function refresh(): Promise<void> {
  if (element("panel-cases").hidden) return;
  const mine = ++turn;
  const words = element<HTMLInputElement>("case-search").value;
  const chats = await trying(() => invoke<ChatSummaryDto[]>("chats", { words }));
  if (!chats || mine !== turn) return;
  const list = element("case-list");
  if (chats.length === 0) {
    const empty = words.trim() === "" ? makeEmpty(text("cases.none"), text("cases.none-yet")) : makeEmpty(text("cases.not-found"), text("cases.other-words"));
    list.replaceChildren(empty);
    return;
  }
  list.replaceChildren(...chats.map(row));
}

function row(chat: ChatSummaryDto): HTMLElement {
  const item = make("div", "case");
  item.setAttribute("role", "listitem");
  if (chat.id === askPanel.current()) item.classList.add("current");
  const open = makeButton("case-open", "", () => {
    void askPanel.open(chat.id).then(() => showPanel("ask"));
  });
  open.append(make("span", "case-title", chat.title));
  if (chat.snippet !== null) open.append(make("span", "case-snippet", chat.snippet));
  const counts = chat.n_turn > 0 ? ` · ${text("cases.questions", { n: number(chat.n_turn) })} · ${text("cases.pictures", { n: number(chat.n_image) })}` : "";
  open.append(make("span", "case-when", `${when(chat.last_at)}${counts}`));
  const more = makeButton("icon-button", "", () => menu(chat));
  more.append(makeIcon("more"));
  more.setAttribute("aria-label", text("cases.more", { title: chat.title }));
  more.title = text("cases.more-short");
  item.append(open, more);
  return item;
}

/** A time as people here write it. */
function when(at: string): string {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? at : time.toLocaleString(language() === "zh" ? "zh-CN" : "en-GB", { dateStyle: "medium", timeStyle: "short" });
}

function menu(chat: ChatSummaryDto): void {
  const title = make("input");
  title.value = chat.title;
  title.id = "case-name";
  const field = make("label", "field");
  field.append(make("span", "", text("cases.name")), title);
  const names = make("input");
  names.type = "checkbox";
  names.id = "case-names";
  const namesField = make("label", "check");
  namesField.append(names, make("span", "", text("cases.with-names")));
  const write = (format: ExportDto["format"]) => async () => {
    dialog.close();
    const request: ExportDto = { chat: chat.id, format, names: names.checked };
    const path = await trying(() => invoke<string | null>("export_chat", { request }));
    if (path) showNews(text("cases.written", { path }));
  };
  const exports = make("div", "dialog-row");
  for (const [format, label] of [["pdf", "PDF"], ["markdown", "Markdown"], ["json", "JSON"]] as const) {
    exports.append(makeButton("button", label, () => void write(format)()));
  }
  const last = make("div", "dialog-row end");
  const sure = makeButton("button danger", text("cases.delete"), () => {
    if (sure.dataset.sure === undefined) {
      sure.dataset.sure = "asked";
      sure.textContent = text("cases.delete-sure");
      return;
    }
    dialog.close();
    void trying(() => invoke("delete_chat", { id: chat.id })).then(() => {
      if (askPanel.current() === chat.id) askPanel.show(null);
      void refresh();
    });
  });
  last.append(
    sure,
    makeButton("button primary", text("cases.rename"), () => {
      dialog.close();
      void trying(() => invoke("rename_chat", { id: chat.id, title: title.value.trim() })).then(refresh);
    }),
  );
  const dialog = openDialog("case-menu", chat.title, field, make("h3", "", text("cases.export")), namesField, exports, last);
}

async function audit(): Promise<void> {
  const checked = await trying(() => invoke<AuditDto>("verify_audit"));
  if (!checked) return;
  if (checked.whole) showNews(text("cases.audit-whole", { n: checked.message }));
  else showError({ code: "audit", message: checked.message, hint: text("cases.audit-broken") });
}
