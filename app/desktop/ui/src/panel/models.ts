// Which model answers: its state beside the chat's title, and the dialog to choose another.

import { invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { element, make, makeButton, openDialog } from "../dom";
import { showError, trying } from "../notice";
import { number, onLanguage, text } from "../texts";
import type { DeviceDto, ModelEntryDto, ModelSourceDto, ModelStateDto } from "../wire";

/** How often a model that is being loaded is looked at. */
const LOOK_MS = 300;

let state: ModelStateDto = { kind: "loading" };
let looking = 0;
const calls: (() => void)[] = [];

export const model = {
  isReady: (): boolean => state.kind === "ready",
  name: (): string => (state.kind === "ready" ? state.name : ""),
  state: (): ModelStateDto => state,
  onChange: (call: () => void): void => void calls.push(call),
  begin(): void {
    element("model").addEventListener("click", () => commands.run("models"));
    commands.on("models", () => void choose());
    onLanguage(draw);
    void look();
  },
};

/** Looks how far the model is, until it is loaded or cannot be. */
async function look(): Promise<void> {
  const mine = ++looking;
  for (;;) {
    state = await invoke<ModelStateDto>("model_state");
    if (mine !== looking) return;
    draw();
    for (const call of calls) call();
    if (state.kind !== "loading") break;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  if (state.kind === "failed") showError(state.error);
}

function draw(): void {
  const button = element<HTMLButtonElement>("model");
  const words: Record<ModelStateDto["kind"], string> = {
    loading: text("model.loading"),
    ready: state.kind === "ready" ? `${state.name} · ${state.device}` : "",
    failed: text("model.failed"),
    unloaded: text("model.none"),
  };
  button.textContent = words[state.kind];
  button.dataset.state = state.kind;
  const notice = state.kind === "ready" ? state.notice : null;
  element("notice").textContent = notice === null ? text("notice.research") : `${text("notice.research")} ${sentence(notice)}`;
  if (state.kind === "ready") {
    const fields: [string, string][] = [
      ["set-temperature", state.temperature === 0 ? text("ask.greedy") : number(state.temperature, 2)],
      ["set-max-tokens", number(state.max_tokens)],
    ];
    for (const [id, own] of fields) element<HTMLInputElement>(id).placeholder = own;
  }
}

/** A notice as a sentence of its own. */
function sentence(words: string): string {
  const whole = words.trim();
  return `${whole.charAt(0).toUpperCase()}${whole.slice(1)}${/[.!?。]$/.test(whole) ? "" : "."}`;
}

function size(bytes: number | null): string {
  if (bytes === null) return "";
  return bytes >= 1e9 ? `${number(bytes / 1e9, 1)} GB` : `${number(bytes / 1e6, 1)} MB`;
}

async function choose(): Promise<void> {
  const list = make("div", "model-list");
  list.setAttribute("role", "list");
  list.append(make("p", "quiet", text("model.looking")));
  const device = make("select");
  device.id = "model-device";
  const label = make("label", "field");
  label.append(make("span", "", text("model.device")), device);
  const unload = makeButton("button", text("model.unload"), () => {
    dialog.close();
    void trying(() => invoke("unload_model")).then(look);
  });
  unload.disabled = state.kind === "unloaded";
  const row = make("div", "dialog-row");
  row.append(
    label,
    makeButton("button", text("model.add-folder"), () => void add(true)),
    makeButton("button", text("model.add-file"), () => void add(false)),
    unload,
  );
  const dialog = openDialog("models", text("model.title"), make("p", "quiet", text("model.explain")), list, row);
  const load = (source: ModelSourceDto) => {
    dialog.close();
    void trying(() => invoke("load_model", { source, device: device.value })).then(look);
  };
  const add = async (folder: boolean) => {
    const entry = await invoke<ModelEntryDto | null>("model_dialog", { folder });
    if (entry) list.append(card(entry, load, null));
  };
  const [entries, devices] = await Promise.all([invoke<ModelEntryDto[]>("models"), invoke<DeviceDto[]>("devices")]);
  const draw = (all: ModelEntryDto[]) => {
    const forget = (entry: ModelEntryDto) => {
      void trying(() => invoke("forget_model", { source: entry.source }));
      draw(all.filter((each) => each !== entry));
    };
    list.replaceChildren(...all.map((entry) => card(entry, load, forget)));
  };
  draw(entries);
  device.replaceChildren(
    ...devices.map((each) => {
      const option = make("option", "", each.name === "" ? text("model.auto") : `${each.choice} · ${each.name}`);
      option.value = each.choice;
      return option;
    }),
  );
}

function card(entry: ModelEntryDto, load: (source: ModelSourceDto) => void, forget: ((entry: ModelEntryDto) => void) | null): HTMLElement {
  const item = make("div", entry.error ? "model-card broken" : "model-card");
  item.setAttribute("role", "listitem");
  const words = make("div", "model-words");
  words.append(make("p", "model-name", entry.source.kind === "demo" ? text("model.demo", { name: entry.name }) : entry.name));
  if (entry.error) {
    words.append(make("p", "model-error", entry.error.message));
    if (entry.error.hint) words.append(make("p", "quiet", entry.error.hint));
  } else {
    const facts = [
      entry.licence === null ? text("model.no-licence") : text("model.licence", { name: entry.licence }),
      size(entry.weight_bytes),
      text("model.needs", { size: size(entry.needed_bytes) }),
      entry.n_context === null ? "" : text("model.context", { n: number(entry.n_context) }),
      entry.sees === false ? text("model.blind") : "",
    ];
    words.append(make("p", "quiet", facts.filter((fact) => fact !== "").join(" · ")));
    if (entry.fits === false) words.append(make("p", "model-warning", text("model.too-large")));
    if (entry.notice) words.append(make("p", "quiet", sentence(entry.notice)));
  }
  if (entry.place) words.append(make("p", "model-place", entry.place));
  item.append(words);
  if (!entry.error) item.append(makeButton("button primary", text("model.use"), () => load(entry.source)));
  else if (forget && entry.source.kind === "files") item.append(makeButton("button", text("model.forget"), () => forget(entry)));
  return item;
}
