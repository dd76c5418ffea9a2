// Tools: what a press on the slide means. Shapes are drawn with the pointer, or with the arrow keys and Enter at the
// cross in the middle of the view. What moves or is changed is a sketch until it is let go, then one edit.

import { commands } from "../commands";
import { arrowKeys, element } from "../dom";
import { text } from "../texts";
import type { ShapeDto } from "../wire";
import { annotationClass } from "./annotation-panel";
import { colorOf, marks, pointsOf } from "./marks";
import { handlesOf, HANDLE_PX, hover, markAt, marksShown, showMarks, showReticle, sketch, toView } from "./overlay";
import { length } from "./scale";
import { stage } from "./stage";
import { view, type Point } from "./view";

const TOOLS = ["pan", "measure", "point", "line", "rectangle", "polygon", "freehand"] as const;
export type Tool = (typeof TOOLS)[number];

/** Movement below which a press is a click. */
const CLICK_PX = 4;
const REACH_PX = 7;
/** Detail of a freehand outline that nobody sees. */
const SMOOTH_PX = 0.8;
const MEASURE_COLOR: [number, number, number] = [11, 110, 79];

let tool: Tool = "pan";
/** Points of the shape in the making, in base pixels. */
let points: Point[] = [];
/** The pointer, where the next point would be. */
let next: Point | null = null;
let measured: Point[] = [];
/** What the pressed pointer does. */
let drag: { kind: "draw" | "vertex" | "move"; from: Point; at: number; shape: ShapeDto | null; id: string } | null = null;
let pressed: { x: number; y: number } | null = null;
let panning = false;

/** Takes up a tool. */
function take(to: Tool): void {
  cancel();
  if (to !== "measure") setMeasured([]);
  tool = to;
  for (const button of document.querySelectorAll<HTMLElement>("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  element("stage").dataset.using = tool;
  showReticle(false);
}

function cancel(): void {
  points = [];
  next = null;
  drag = null;
  draw();
}

function color(): [number, number, number] {
  return tool === "measure" ? MEASURE_COLOR : (annotationClass()?.color ?? [220, 40, 40]);
}

/** The shape that these points make with the tool; null where they are too few. */
function shapeOf(all: Point[]): ShapeDto | null {
  const [first] = all;
  const last = all.at(-1);
  if (!first || !last) return null;
  if (tool === "point") return { kind: "point", at: last };
  if (tool === "rectangle") {
    if (all.length < 2) return null;
    const size: Point = [Math.abs(last[0] - first[0]), Math.abs(last[1] - first[1])];
    return { kind: "rectangle", origin: [Math.min(first[0], last[0]), Math.min(first[1], last[1])], size };
  }
  if (tool === "line" || tool === "measure") return all.length < 2 ? null : { kind: "line", points: all };
  if (all.length < 3) return null;
  return { kind: tool === "freehand" ? "freehand" : "polygon", points: all };
}

function draw(): void {
  const slide = stage.slide();
  const sketches = [];
  if (measured.length > 1 && slide) {
    sketches.push({ shape: { kind: "line" as const, points: measured }, color: MEASURE_COLOR, label: length(slide, lengthOf(measured)), handles: [] });
  }
  const all = next && points.length > 0 && tool !== "freehand" ? [...points, next] : points;
  if (all.length > 0 && slide) {
    const open: ShapeDto = all.length === 1 ? { kind: "point", at: all[0] as Point } : tool === "rectangle" ? (shapeOf(all) as ShapeDto) : { kind: "line", points: all };
    const shape = all.length > 2 && (tool === "polygon" || tool === "freehand") ? (shapeOf(all) ?? open) : open;
    const label = all.length > 1 && (tool === "line" || tool === "measure") ? length(slide, lengthOf(all)) : "";
    sketches.push({ shape, color: color(), label, handles: tool === "polygon" ? points.slice(0, 1) : [] });
  }
  if (drag?.shape) {
    const mark = marks.get(drag.id);
    sketches.push({ shape: drag.shape, color: mark ? colorOf(mark.dto) : color(), label: "", handles: pointsOf(drag.shape).slice(0, 120) });
    return sketch(sketches, drag.id);
  }
  sketch(sketches);
}

export function lengthOf(path: Point[]): number {
  let sum = 0;
  for (let at = 1; at < path.length; at++) {
    const [a, b] = [path[at - 1] as Point, path[at] as Point];
    sum += Math.hypot(b[0] - a[0], b[1] - a[1]);
  }
  return sum;
}

function setMeasured(path: Point[]): void {
  measured = path;
  const slide = stage.slide();
  element("measured").textContent = slide && path.length > 1 ? text("status.measured", { length: length(slide, lengthOf(path)) }) : "";
  draw();
}

/** Ends the shape in the making: keeps it, where it is one. */
function finish(): void {
  const path = tool === "freehand" ? simplify(points, SMOOTH_PX / view.zoom()) : points;
  const shape = shapeOf(path);
  const done = tool;
  points = [];
  next = null;
  if (!shape) return draw();
  if (done === "measure") return setMeasured(path);
  draw();
  // A point is seldom alone; after anything else one goes on looking.
  if (done !== "point") take("pan");
  void marks.add(shape, annotationClass());
}

/** Adds a point as a click or Enter does; says whether the shape ended. */
function addPoint(point: Point): void {
  const first = points[0];
  const last = points.at(-1);
  const reach = REACH_PX / view.zoom();
  const near = (other: Point | undefined) => other !== undefined && Math.hypot(point[0] - other[0], point[1] - other[1]) < reach;
  if (tool === "polygon" && points.length > 2 && near(first)) return finish();
  if (points.length > 1 && near(last)) return finish();
  points.push(point);
  if (tool === "point" || (tool === "rectangle" && points.length === 2)) finish();
  else draw();
}

/** Leaves points out that lie within `reach` of the line between their neighbours (Ramer, Douglas and Peucker). */
function simplify(path: Point[], reach: number): Point[] {
  const keep = new Set<number>([0, path.length - 1]);
  const spans: [number, number][] = [[0, path.length - 1]];
  for (let span = spans.pop(); span; span = spans.pop()) {
    const [from, to] = span;
    const [a, b] = [path[from], path[to]];
    if (!a || !b || to - from < 2) continue;
    const across = Math.hypot(b[0] - a[0], b[1] - a[1]);
    let farthest = reach;
    let at = -1;
    for (let each = from + 1; each < to; each++) {
      const p = path[each] as Point;
      const away = across === 0 ? Math.hypot(p[0] - a[0], p[1] - a[1]) : Math.abs((b[0] - a[0]) * (a[1] - p[1]) - (a[0] - p[0]) * (b[1] - a[1])) / across;
      if (away > farthest) [farthest, at] = [away, each];
    }
    if (at > 0) {
      keep.add(at);
      spans.push([from, at], [at, to]);
    }
  }
  return path.filter((_, at) => keep.has(at));
}

function viewPoint(event: PointerEvent | MouseEvent): Point {
  const box = element("viewer").getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

/** Keeps a point on the slide. */
function onSlide([x, y]: Point): Point {
  const slide = stage.slide();
  return slide ? [Math.min(Math.max(x, 0), slide.width_px), Math.min(Math.max(y, 0), slide.height_px)] : [x, y];
}

/** The handle of the chosen annotation under the pointer. */
function handleAt(at: Point): number {
  const mark = marks.selected();
  if (!mark || !marksShown()) return -1;
  const affine = view.affine();
  return handlesOf(mark).findIndex((handle) => {
    const [x, y] = toView(affine, handle);
    return Math.abs(x - at[0]) <= HANDLE_PX + 2 && Math.abs(y - at[1]) <= HANDLE_PX + 2;
  });
}

function onNavigator(event: Event): boolean {
  return event.target instanceof Element && event.target.closest(".navigator") !== null;
}

function onDown(event: PointerEvent): void {
  if (!stage.slide() || onNavigator(event)) return;
  element("viewer").focus({ preventScroll: true });
  showReticle(false);
  const at = viewPoint(event);
  const base = view.baseAt(at);
  pressed = event.button === 0 ? { x: event.clientX, y: event.clientY } : null;
  // The middle button and the space bar move the slide, whatever the tool.
  if (event.button !== 0 || panning) return;
  if (tool === "pan") {
    const mark = marks.selected();
    if (!mark || mark.dto.locked) return;
    const handle = handleAt(at);
    const edge = handle < 0 && mark.path !== null && markAt(base, REACH_PX / view.zoom()) === mark && onOutline(base);
    if (handle < 0 && !edge) return;
    drag = { kind: handle >= 0 ? "vertex" : "move", from: base, at: handle, shape: null, id: mark.dto.id };
  } else if (tool === "freehand" || points.length === 0) {
    points = [onSlide(base)];
    drag = { kind: "draw", from: base, at: 0, shape: null, id: "" };
    if (tool === "measure") setMeasured([]);
    draw();
  }
  event.stopPropagation();
  try {
    element("viewer").setPointerCapture(event.pointerId);
  } catch {
    // A press that a test made has no pointer to capture.
  }
}

/** Whether a place is on the chosen annotation's outline, where it can be taken hold of. */
function onOutline(base: Point): boolean {
  const mark = marks.selected();
  const context = document.querySelector<HTMLCanvasElement>("#overlay")?.getContext("2d");
  if (!mark?.path || !context) return false;
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.lineWidth = (2 * REACH_PX) / view.zoom();
  const found = context.isPointInStroke(mark.path, ...base);
  context.restore();
  return found;
}

function onMove(event: PointerEvent): void {
  if (!stage.slide()) return;
  const at = viewPoint(event);
  const base = view.baseAt(at);
  if (drag?.kind === "draw") {
    if (tool === "freehand") {
      for (const each of event.getCoalescedEvents?.() ?? [event]) points.push(onSlide(view.baseAt(viewPoint(each))));
    } else next = onSlide(base);
    draw();
  } else if (drag) {
    drag.shape = changedShape(onSlide(base));
    draw();
  } else if (tool === "pan") {
    const found = pressed ? null : markAt(base, REACH_PX / view.zoom());
    hover(found?.dto.id ?? null);
    element("stage").classList.toggle("over-mark", found !== null);
  } else if (points.length > 0) {
    next = onSlide(base);
    draw();
  }
}

/** The shape of the annotation that is held, as it would be with the pointer here. */
function changedShape(to: Point): ShapeDto | null {
  const shape = drag && marks.get(drag.id)?.dto.shape;
  if (!drag || !shape) return null;
  const [dx, dy] = [to[0] - drag.from[0], to[1] - drag.from[1]];
  if (drag.kind === "move") {
    const moved = ([x, y]: Point): Point => [x + dx, y + dy];
    if (shape.kind === "point") return { kind: "point", at: moved(shape.at) };
    if (shape.kind === "rectangle") return { ...shape, origin: moved(shape.origin) };
    return { ...shape, points: shape.points.map(moved) };
  }
  if (shape.kind === "point") return { kind: "point", at: to };
  if (shape.kind === "rectangle") {
    const opposite = pointsOf(shape)[(drag.at + 2) % 4] as Point;
    return { kind: "rectangle", origin: [Math.min(to[0], opposite[0]), Math.min(to[1], opposite[1])], size: [Math.abs(to[0] - opposite[0]), Math.abs(to[1] - opposite[1])] };
  }
  const at = drag.at;
  return { ...shape, points: shape.points.map((point, each) => (each === at ? to : point)) };
}

function onUp(event: PointerEvent): void {
  const still = pressed !== null && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) < CLICK_PX;
  const held = drag;
  pressed = null;
  drag = null;
  if (!stage.slide() || event.button !== 0 || panning) return;
  const base = onSlide(view.baseAt(viewPoint(event)));
  if (held?.kind === "draw") {
    if (tool === "freehand") return points.length > 2 && !still ? finish() : cancel();
    if (tool === "point") return finish();
    // A press and a drag make a line or a box at once; clicks make it corner by corner.
    if (!still && tool !== "polygon") {
      points.push(base);
      return finish();
    }
    return draw();
  }
  if (held) {
    const shape = still ? null : held.shape;
    if (!shape) return draw();
    drag = held;
    void marks.change(held.id, { shape }).then(() => {
      if (drag === held) drag = null;
      draw();
    });
    return;
  }
  if (tool !== "pan") return still ? addPoint(base) : undefined;
  if (still && !onNavigator(event)) marks.select(markAt(base, REACH_PX / view.zoom())?.dto.id ?? null);
}

function onKey(event: KeyboardEvent): void {
  if (!stage.slide() || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === " ") {
    panning = true;
    element("stage").classList.add("panning");
    event.preventDefault();
    return;
  }
  const drawing = tool !== "pan";
  if (event.key === "Escape") {
    if (points.length > 0) cancel();
    else if (drawing) take("pan");
    else if (marks.selected()) marks.select(null);
    else return;
  } else if (event.key === "Enter" && drawing) {
    showReticle(true);
    const [width, height] = view.size();
    if (event.shiftKey) finish();
    else addPoint(onSlide(view.baseAt([width / 2, height / 2])));
  } else if (event.key === "Backspace" && points.length > 0) {
    points.pop();
    draw();
  } else {
    if (drawing && event.key.startsWith("Arrow")) showReticle(true);
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

export function beginTools(): void {
  const place = element("viewer");
  place.addEventListener("pointerdown", onDown, { capture: true });
  place.addEventListener("pointermove", onMove, { capture: true });
  place.addEventListener("pointerup", onUp, { capture: true });
  place.addEventListener("pointerleave", () => hover(null));
  place.addEventListener("dblclick", (event) => {
    if (!onNavigator(event) && points.length > 1) finish();
    else if (tool === "pan" && !onNavigator(event)) view.setZoom(view.zoom() * 2, viewPoint(event));
  });
  place.addEventListener("keydown", onKey);
  const release = () => {
    panning = false;
    element("stage").classList.remove("panning");
  };
  document.addEventListener("keyup", (event) => {
    if (event.key === " ") release();
  });
  window.addEventListener("blur", release);
  for (const each of TOOLS) {
    commands.on(`tool-${each}`, () => {
      take(each);
      place.focus({ preventScroll: true });
    });
  }
  commands.on("annotations-visible", () => {
    showMarks(!marksShown());
    element("tools").querySelector("[data-command=annotations-visible]")?.setAttribute("aria-pressed", String(marksShown()));
  });
  arrowKeys(element("tools"), () => [...element("tools").querySelectorAll<HTMLElement>("button:not(:disabled)")]);
  view.onFrame(() => {
    // A key that moves the slide moves what the cross would draw.
    if (points.length > 0 && !drag && document.activeElement === place && !pressed) draw();
  });
  let last = stage.slide();
  stage.onChange(() => {
    if (stage.slide()?.handle === last?.handle) return;
    last = stage.slide();
    take(tool);
    setMeasured([]);
  });
  take("pan");
}
