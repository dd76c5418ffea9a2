// What a question is about: the pictures that go with it, shown exactly as the model will see them, with their size in
// tokens and their scale, before anything is sent.

import { invoke } from "@tauri-apps/api/core";

import { debounce, element, make, makeButton, makeIcon } from "../dom";
import { asReport, trying } from "../notice";
import { stage } from "../stage/stage";
import { number, onLanguage, text } from "../texts";
import type { PictureDto, PictureSourceDto, PreviewDto, ViewDto } from "../wire";
import { describe } from "./turn";

/** Fields of a whole slide that go with its overview. */
const N_FIELD = 4;

function same(a: PictureSourceDto | null, b: PictureSourceDto | null): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

export class Tray {
  /** Pictures that were chosen one by one. */
  private chosen: PictureSourceDto[] = [];
  /** Whether the current view goes with the question where nothing else was chosen. */
  private withView = true;
  /** The view that was asked about last: it is not sent again unless it changed. */
  private asked: PictureSourceDto | null = null;
  private seen: PictureDto[] = [];
  private turn = 0;
  private readonly root = element("tray");
  private readonly sum = element("tray-sum");

  constructor(private readonly onChange: () => void) {
    stage.onChange(debounce(120, () => void this.refresh()));
    onLanguage(() => void this.refresh());
  }

  /** What goes with the question. */
  sources(): PictureSourceDto[] {
    if (this.chosen.length > 0) return this.chosen;
    const view = this.view();
    return this.withView && view && !same(view, this.asked) ? [view] : [];
  }

  /** The pictures as they were shown last. */
  pictures(): PictureDto[] {
    return this.seen;
  }

  /** Adds a part of the slide that is shown. */
  addView(view: ViewDto | null): void {
    const slide = stage.slide();
    if (!slide || !view) return;
    this.add([{ kind: "view", slide: slide.handle, view }]);
  }

  /** Adds the whole slide: small, and some fields of its tissue. */
  async addWhole(): Promise<void> {
    const slide = stage.slide();
    if (!slide) return;
    const sources = await trying(() => invoke<PictureSourceDto[]>("whole_slide", { slide: slide.handle, nTile: N_FIELD }));
    if (sources) this.add(sources);
  }

  /** Lets the person choose picture files. */
  async addFiles(): Promise<void> {
    const paths = await invoke<string[]>("picture_dialog");
    this.add(paths.map((path) => ({ kind: "file", path })));
  }

  add(sources: PictureSourceDto[]): void {
    const fresh = sources.filter((source) => !this.chosen.some((own) => same(own, source)));
    this.chosen.push(...fresh);
    void this.refresh();
  }

  /** The question was sent: the next one is about the same pictures unless the view changes. */
  sent(): void {
    this.asked = this.view();
    this.chosen = [];
    this.withView = true;
    void this.refresh();
  }

  /** A chat begins or another is shown: its first question shows the view again. */
  reset(): void {
    this.asked = null;
    this.chosen = [];
    this.withView = true;
    void this.refresh();
  }

  private view(): PictureSourceDto | null {
    const slide = stage.slide();
    const view = stage.view();
    return slide && view ? { kind: "view", slide: slide.handle, view } : null;
  }

  /** Shows what the model will see; of several calls only the last counts. */
  async refresh(): Promise<void> {
    const mine = ++this.turn;
    const sources = this.sources();
    this.onChange();
    if (sources.length === 0) {
      this.seen = [];
      const view = this.view();
      const again = view !== null && (same(view, this.asked) || !this.withView);
      const add = makeButton("link", text("ask.add-this-view"), () => {
        this.withView = true;
        this.asked = null;
        void this.refresh();
      });
      this.root.replaceChildren(...(again ? [make("span", "quiet", this.withView ? text("ask.same-view") : text("ask.no-picture")), add] : []));
      this.sum.textContent = "";
      return;
    }
    try {
      const preview = await invoke<PreviewDto>("preview", { pictures: sources });
      if (mine !== this.turn) return;
      this.seen = preview.pictures;
      this.root.replaceChildren(...preview.pictures.map((picture, at) => this.thumbnail(picture, at)));
      const n = preview.pictures.reduce((sum, picture) => sum + picture.n_token, 0);
      const over = n > preview.n_context * 0.9;
      this.sum.textContent = text("ask.tray-sum", { n: number(n), all: number(preview.n_context) });
      this.sum.classList.toggle("over", over);
    } catch (error) {
      if (mine !== this.turn) return;
      this.seen = [];
      const report = asReport(error);
      this.root.replaceChildren(make("span", "tray-error", report.message));
      this.sum.textContent = "";
    }
  }

  private thumbnail(picture: PictureDto, at: number): HTMLElement {
    const figure = make("figure", "tray-picture");
    const image = make("img");
    image.src = picture.url;
    image.alt = text("ask.seen-by-model");
    image.title = text("ask.seen-by-model");
    const remove = makeButton("icon-button tray-remove", "", () => {
      if (this.chosen.length > 0) this.chosen.splice(at, 1);
      else this.withView = false;
      void this.refresh();
    });
    remove.append(makeIcon("close"));
    remove.setAttribute("aria-label", text("ask.remove-picture"));
    remove.title = text("ask.remove-picture");
    figure.append(image, make("figcaption", "", describe(picture)), remove);
    return figure;
  }
}
