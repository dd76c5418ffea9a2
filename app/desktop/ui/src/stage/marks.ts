// The annotations of the slide that is shown: Rust keeps them (`AnnotationBook`), this is what the page knows of them.
// Every edit goes to Rust, which has it on the disk before it answers; the answer says what is new.

import { invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { asReport, showError, showNews, trying } from "../notice";
import { text } from "../texts";
import type { AnnotationDto, AnnotationsDto, ClassDto, DraftDto, EditDto, ErrorDto, ShapeDto, SlideDto, ViewDto } from "../wire";
import { choose, stage } from "./stage";
import type { Point } from "./view";

/** Colour of what has neither a class nor a colour of its own, as `PLAIN_COLOR` of Rust. */
const PLAIN: [number, number, number] = [220, 40, 40];

/** Corners of an outline that is drawn small. */
const COARSE = 12;

export interface Mark {
  dto: AnnotationDto;
  /** Left, top, right, bottom in base pixels. */
  box: [number, number, number, number];
  /** Outline in base pixels; none for a point. */
  path: Path2D | null;
  /** The outline with few corners, for when it is small; none where it has few. */
  coarse: Path2D | null;
}

export type SaveState = "saved" | "saving" | "failed";

let slide: SlideDto | null = null;
let all = new Map<string, Mark>();
let selected: string | null = null;
let saving = 0;
let unsaved: ErrorDto | null = null;
let steps = { n_undo: 0, n_redo: 0 };
let known: ClassDto[] = [];
/** Grows when what is listed changes, not when something else is chosen. */
let version = 0;
const calls: (() => void)[] = [];

export const marks = {
  all: (): IterableIterator<Mark> => all.values(),
  n: (): number => all.size,
  version: (): number => version,
  get: (id: string): Mark | undefined => all.get(id),
  selected: (): Mark | null => (selected === null ? null : (all.get(selected) ?? null)),
  classes: (): readonly ClassDto[] => known,
  canUndo: (): boolean => steps.n_undo > 0,
  canRedo: (): boolean => steps.n_redo > 0,
  unsaved: (): ErrorDto | null => unsaved,
  saveState: (): SaveState => (saving > 0 ? "saving" : unsaved ? "failed" : "saved"),
  onChange: (call: () => void): void => void calls.push(call),

  /** Chooses an annotation, or none. */
  select(id: string | null): void {
    if (selected === id) return;
    selected = id;
    tellStage();
    changed();
  },

  /** Adds what was drawn, and chooses it. */
  async add(shape: ShapeDto, annotationClass: ClassDto | null): Promise<void> {
    const news = await edit({ kind: "add", annotation: { id: null, shape, class: annotationClass, title: "", note: "", color: null } });
    const added = news?.changed.at(-1);
    if (added) this.select(added.id);
  },

  /** Changes some parts of an annotation. */
  async change(id: string, parts: Partial<Omit<DraftDto, "id">>): Promise<void> {
    const mark = all.get(id);
    if (mark) await edit({ kind: "change", annotations: [{ ...draftOf(mark.dto), ...parts }] });
  },

  async remove(ids: string[]): Promise<void> {
    await edit({ kind: "remove", ids });
  },

  undo: () => step("undo_annotations"),
  redo: () => step("redo_annotations"),
  save: () => step("save_annotations"),

  async importFile(path: string | null = null): Promise<void> {
    const news = await step("import_annotations", { path });
    if (!news?.imported) return;
    const { n_added, n_replaced, n_unchanged, n_refused, refused } = news.imported;
    showNews(text("annotations.imported", { added: n_added, replaced: n_replaced, unchanged: n_unchanged }));
    if (n_refused > 0) showError({ code: "imported_partly", message: text("annotations.refused", { n: n_refused }), hint: refused });
  },

  async exportFile(path: string | null = null): Promise<void> {
    if (!slide) return;
    const handle = slide.handle;
    const place = await trying(() => invoke<string | null>("export_annotations", { slide: handle, path }));
    if (place) showNews(text("annotations.exported", { n: all.size, path: place }));
  },

  async setClasses(classes: ClassDto[]): Promise<void> {
    known = classes;
    changed();
    await trying(() => invoke("remember_classes", { classes }));
  },
};

/** Colour of an annotation. */
export function colorOf(dto: AnnotationDto): [number, number, number] {
  return dto.color ?? dto.class?.color ?? PLAIN;
}

/** What an annotation is called: its title, else its class, else its kind. */
export function nameOf(dto: AnnotationDto): string {
  return dto.title || dto.class?.name || text(`shape.${dto.shape.kind}`);
}

/** The points of a shape; of a rectangle its corners, clockwise from the top left. */
export function pointsOf(shape: ShapeDto): Point[] {
  if (shape.kind === "point") return [shape.at];
  if (shape.kind !== "rectangle") return shape.points;
  const [x, y] = shape.origin;
  const [width, height] = shape.size;
  return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]];
}

/** Whether a shape encloses an area. */
export function isArea(shape: ShapeDto): boolean {
  return shape.kind !== "point" && shape.kind !== "line";
}

/** The outline of a shape in base pixels. */
export function pathOf(shape: ShapeDto, holes: Point[][] = []): Path2D {
  const path = new Path2D();
  const ring = (points: Point[], close: boolean) => {
    points.forEach(([x, y], at) => (at === 0 ? path.moveTo(x, y) : path.lineTo(x, y)));
    if (close) path.closePath();
  };
  ring(pointsOf(shape), isArea(shape));
  for (const hole of holes) ring(hole, true);
  return path;
}

/** Every so manieth corner of an outline, a dozen at most. */
function coarsePath(shape: ShapeDto): Path2D | null {
  if (shape.kind === "point" || shape.kind === "rectangle" || shape.points.length <= COARSE) return null;
  const step = shape.points.length / COARSE;
  const points = Array.from({ length: COARSE }, (_, at) => shape.points[Math.floor(at * step)] as Point);
  return pathOf({ ...shape, points });
}

export function boxOf(points: Point[]): [number, number, number, number] {
  let box: [number, number, number, number] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) box = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)];
  return box;
}

/** The box around an annotation as a view, at least one pixel large and within the slide. */
export function boundsOf(mark: Mark, of: SlideDto): ViewDto {
  const clamp = (value: number, most: number) => Math.min(Math.max(value, 0), most);
  const left = clamp(Math.floor(mark.box[0]), of.width_px - 1);
  const top = clamp(Math.floor(mark.box[1]), of.height_px - 1);
  const right = clamp(Math.ceil(mark.box[2]), of.width_px);
  const bottom = clamp(Math.ceil(mark.box[3]), of.height_px);
  return { x_base_px: left, y_base_px: top, width_base_px: Math.max(1, right - left), height_base_px: Math.max(1, bottom - top) };
}

function draftOf(dto: AnnotationDto): DraftDto {
  return { id: dto.id, shape: dto.shape, class: dto.class, title: dto.title, note: dto.note, color: dto.color };
}

function changed(): void {
  for (const call of calls) call();
  commands.refresh();
}

function tellStage(): void {
  const mark = marks.selected();
  choose(mark && slide ? { annotation: mark.dto, bounds: boundsOf(mark, slide) } : null);
}

function take(news: AnnotationsDto): void {
  if (news.changed.length > 0 || news.removed.length > 0) version += 1;
  for (const dto of news.changed) {
    const path = dto.shape.kind === "point" ? null : pathOf(dto.shape, dto.holes);
    all.set(dto.id, { dto, box: boxOf(pointsOf(dto.shape)), path, coarse: coarsePath(dto.shape) });
  }
  for (const id of news.removed) all.delete(id);
  if (selected !== null && !all.has(selected)) selected = null;
  steps = { n_undo: news.n_undo, n_redo: news.n_redo };
  // Said once when it begins; the panel says it for as long as it lasts.
  if (news.unsaved && !unsaved) showError(news.unsaved);
  unsaved = news.unsaved;
  if (news.mended) showError(news.mended);
  tellStage();
}

async function step(command: string, more: Record<string, unknown> = {}): Promise<AnnotationsDto | null> {
  const of = slide;
  if (!of) return null;
  saving += 1;
  changed();
  try {
    const news = await invoke<AnnotationsDto | null>(command, { slide: of.handle, ...more });
    if (news && of === slide) take(news);
    return news;
  } catch (error) {
    showError(asReport(error));
    return null;
  } finally {
    saving -= 1;
    changed();
  }
}

function edit(wanted: EditDto): Promise<AnnotationsDto | null> {
  return step("edit_annotations", { edit: wanted });
}

async function load(): Promise<void> {
  const next = stage.slide();
  if (next === slide) return;
  const other = next?.handle !== slide?.handle;
  slide = next;
  version += 1;
  if (other) {
    all = new Map();
    selected = null;
    unsaved = null;
    steps = { n_undo: 0, n_redo: 0 };
  }
  changed();
  // A slide that is described anew (its scale was stated) measures its annotations anew.
  if (next) await step("annotations");
}

export function beginMarks(): void {
  stage.onChange(() => void load());
  commands.on("undo", () => void marks.undo());
  commands.on("redo", () => void marks.redo());
  commands.on("import-annotations", () => void marks.importFile());
  commands.on("export-annotations", () => void marks.exportFile());
  commands.on("delete-annotation", () => {
    const mark = marks.selected();
    if (mark && !mark.dto.locked) void marks.remove([mark.dto.id]);
  });
  void trying(async () => {
    known = await invoke<ClassDto[]>("classes");
    changed();
  });
}
