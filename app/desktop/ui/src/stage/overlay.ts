// What is drawn over the slide: annotations, what is being drawn, the measured line. One canvas, drawn in the same
// frame as the slide, so that nothing lags; only what is visible is drawn, so that a thousand annotations cost little.

import { element, make } from "../dom";
import { colorOf, isArea, marks, nameOf, pathOf, pointsOf, type Mark } from "./marks";
import { stage } from "./stage";
import { view, type Affine, type Point } from "./view";
import type { ShapeDto } from "../wire";

/** Something that is not kept (yet): a shape in the making, the measured line. */
export interface Sketch {
  shape: ShapeDto;
  color: [number, number, number];
  /** Words at its last point. */
  label: string;
  /** Corners to take hold of, in base pixels. */
  handles: Point[];
}

/** Corners that can be taken hold of at most: a freehand outline has too many to be of use. */
const MOST_HANDLES = 120;
/** From so many in view on, outlines are drawn without their halo. */
const MANY = 300;
/** Among many, what is smaller than this is a dot, or has few corners. */
const TINY_PX = 4;
const SMALL_PX = 40;
export const HANDLE_PX = 5;

let canvas: HTMLCanvasElement;
let shown = true;
let hovered: string | null = null;
let sketches: Sketch[] = [];
/** An annotation that is being changed is drawn as its sketch. */
let hidden: string | null = null;
let reticle = false;
let asked = false;

/** Shows or hides all annotations. */
export function showMarks(to: boolean): void {
  shown = to;
  redraw();
}

export function marksShown(): boolean {
  return shown;
}

/** Replaces what is not kept; `instead` is the annotation that it stands for. */
export function sketch(now: Sketch[], instead: string | null = null): void {
  sketches = now;
  hidden = instead;
  redraw();
}

export function hover(id: string | null): void {
  if (hovered === id) return;
  hovered = id;
  redraw();
}

/** Shows a cross in the middle of the view, where the keyboard draws. */
export function showReticle(to: boolean): void {
  if (reticle === to) return;
  reticle = to;
  redraw();
}

/** Draws once before the next frame. */
export function redraw(): void {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    if (asked) draw();
  });
}

/** Where a base pixel is in the view. */
export function toView([a, b, c, d, e, f]: Affine, [x, y]: Point): Point {
  return [a * x + c * y + e, b * x + d * y + f];
}

/** The handles of the chosen annotation, in base pixels. */
export function handlesOf(mark: Mark): Point[] {
  const points = pointsOf(mark.dto.shape);
  return mark.dto.locked || points.length > MOST_HANDLES ? [] : points;
}

/** The topmost annotation at a place of the slide; `reach` in base pixels. */
export function markAt([x, y]: Point, reach: number): Mark | null {
  if (!shown) return null;
  const context = canvas.getContext("2d");
  if (!context) return null;
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.lineWidth = 2 * reach;
  let inside: Mark | null = null;
  let edge: Mark | null = null;
  for (const mark of marks.all()) {
    const [left, top, right, bottom] = mark.box;
    if (x < left - reach || x > right + reach || y < top - reach || y > bottom + reach) continue;
    if (mark.path === null || context.isPointInStroke(mark.path, x, y)) edge = mark;
    // Of areas within each other, the smaller one is meant.
    else if (isArea(mark.dto.shape) && context.isPointInPath(mark.path, x, y, "evenodd") && (!inside || area(mark) <= area(inside))) inside = mark;
  }
  context.restore();
  return edge ?? inside;
}

function area(mark: Mark): number {
  return (mark.box[2] - mark.box[0]) * (mark.box[3] - mark.box[1]);
}

/** Draws all; what it took stands at the canvas, for the test that no thousand annotations lag. */
function draw(): void {
  const begun = performance.now();
  drawAll();
  canvas.dataset.drawMs = (performance.now() - begun).toFixed(1);
}

function drawAll(): void {
  asked = false;
  const [width, height] = view.size();
  const ratio = window.devicePixelRatio || 1;
  const pixels: Point = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) {
    [canvas.width, canvas.height] = pixels;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!stage.slide()) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.lineJoin = "round";
  context.lineCap = "round";
  const affine = view.affine();
  const visible = shown ? visibleMarks(width, height) : [];
  const chosen = marks.selected();
  const others = visible.filter((mark) => mark !== chosen && mark.dto.id !== hidden);
  if (others.length > MANY) drawMany(context, affine, others);
  else for (const mark of others) drawMark(context, affine, mark, mark.dto.id === hovered ? "hovered" : "plain");
  if (chosen && shown && chosen.dto.id !== hidden) {
    drawMark(context, affine, chosen, "chosen");
    for (const handle of handlesOf(chosen)) drawHandle(context, toView(affine, handle), colorOf(chosen.dto));
  }
  for (const each of sketches) drawSketch(context, affine, each);
  if (reticle) drawReticle(context, width / 2, height / 2);
}

function visibleMarks(width: number, height: number): Mark[] {
  const corners = [[0, 0], [width, 0], [width, height], [0, height]].map((corner) => view.baseAt(corner as Point));
  const reach = 24 / view.zoom();
  const left = Math.min(...corners.map((corner) => corner[0])) - reach;
  const right = Math.max(...corners.map((corner) => corner[0])) + reach;
  const top = Math.min(...corners.map((corner) => corner[1])) - reach;
  const bottom = Math.max(...corners.map((corner) => corner[1])) + reach;
  const found: Mark[] = [];
  for (const mark of marks.all()) {
    const [x0, y0, x1, y1] = mark.box;
    if (x1 >= left && x0 <= right && y1 >= top && y0 <= bottom) found.push(mark);
  }
  return found;
}

function inView(path: Path2D, [a, b, c, d, e, f]: Affine): Path2D {
  const moved = new Path2D();
  moved.addPath(path, new DOMMatrix([a, b, c, d, e, f]));
  return moved;
}

/**
 * Draws many annotations plainly: no halo, no fill, corners cut off (round ones cost twice as much), and small ones
 * with few corners. Putting them into one path would take longer: overlaps are then worked out across all of them.
 */
function drawMany(context: CanvasRenderingContext2D, affine: Affine, many: Mark[]): void {
  const [a, b, c, d, e, f] = affine;
  const matrix = new DOMMatrix([a, b, c, d, e, f]);
  const zoom = view.zoom();
  context.lineJoin = "bevel";
  context.lineCap = "butt";
  context.lineWidth = 2;
  for (const mark of many) {
    const color = colorOf(mark.dto);
    const size_px = Math.max(mark.box[2] - mark.box[0], mark.box[3] - mark.box[1]) * zoom;
    if (!mark.path) {
      drawPoint(context, ...toView(affine, pointsOf(mark.dto.shape)[0] as Point), color, false);
    } else if (size_px < TINY_PX) {
      context.fillStyle = `rgb(${color.join(" ")})`;
      const [x, y] = toView(affine, [(mark.box[0] + mark.box[2]) / 2, (mark.box[1] + mark.box[3]) / 2]);
      context.fillRect(x - 1.5, y - 1.5, 3, 3);
    } else {
      const moved = new Path2D();
      moved.addPath(size_px < SMALL_PX ? (mark.coarse ?? mark.path) : mark.path, matrix);
      context.strokeStyle = `rgb(${color.join(" ")})`;
      context.stroke(moved);
    }
  }
  context.lineJoin = "round";
  context.lineCap = "round";
  const under = hovered === null ? undefined : many.find((mark) => mark.dto.id === hovered);
  if (under) drawMark(context, affine, under, "hovered");
}

function drawMark(context: CanvasRenderingContext2D, affine: Affine, mark: Mark, how: "plain" | "hovered" | "chosen"): void {
  const color = colorOf(mark.dto);
  const strong = how === "chosen" || how === "hovered";
  if (mark.path === null) {
    const [x, y] = toView(affine, pointsOf(mark.dto.shape)[0] as Point);
    drawPoint(context, x, y, color, strong);
  } else {
    strokeShape(context, inView(mark.path, affine), color, isArea(mark.dto.shape), strong);
  }
  if (strong) {
    const [x, y] = lowest(affine, mark);
    const words = nameOf(mark.dto);
    drawLabel(context, mark.dto.measured === "" ? words : `${words} · ${mark.dto.measured}`, x, y + 10, color);
  }
}

/** The lowest corner of an annotation in the view, where its words stand. */
function lowest(affine: Affine, mark: Mark): Point {
  const [left, top, right, bottom] = mark.box;
  const corners = [[left, top], [right, top], [right, bottom], [left, bottom]].map((corner) => toView(affine, corner as Point));
  return [(Math.min(...corners.map((corner) => corner[0])) + Math.max(...corners.map((corner) => corner[0]))) / 2, Math.max(...corners.map((corner) => corner[1]))];
}

function strokeShape(context: CanvasRenderingContext2D, path: Path2D, color: [number, number, number], filled: boolean, strong: boolean): void {
  if (filled) {
    context.fillStyle = `rgb(${color.join(" ")} / ${strong ? 16 : 8}%)`;
    context.fill(path, "evenodd");
  }
  context.strokeStyle = "rgb(255 255 255 / 75%)";
  context.lineWidth = strong ? 5.5 : 3.5;
  context.stroke(path);
  context.strokeStyle = `rgb(${color.join(" ")})`;
  context.lineWidth = strong ? 3 : 2;
  context.stroke(path);
}

function drawPoint(context: CanvasRenderingContext2D, x: number, y: number, color: [number, number, number], strong: boolean): void {
  context.beginPath();
  context.arc(x, y, strong ? 7 : 5, 0, 2 * Math.PI);
  context.fillStyle = `rgb(${color.join(" ")})`;
  context.strokeStyle = "white";
  context.lineWidth = 2;
  context.fill();
  context.stroke();
}

function drawHandle(context: CanvasRenderingContext2D, [x, y]: Point, color: [number, number, number]): void {
  context.beginPath();
  context.rect(x - HANDLE_PX + 1, y - HANDLE_PX + 1, 2 * HANDLE_PX - 2, 2 * HANDLE_PX - 2);
  context.fillStyle = "white";
  context.strokeStyle = `rgb(${color.join(" ")})`;
  context.lineWidth = 1.5;
  context.fill();
  context.stroke();
}

function drawSketch(context: CanvasRenderingContext2D, affine: Affine, now: Sketch): void {
  const points = pointsOf(now.shape);
  const end = points.at(-1);
  if (now.shape.kind === "point" || points.length < 2) {
    for (const point of points) drawPoint(context, ...toView(affine, point), now.color, false);
  } else {
    strokeShape(context, inView(pathOf(now.shape), affine), now.color, isArea(now.shape), true);
  }
  for (const handle of now.handles) drawHandle(context, toView(affine, handle), now.color);
  if (end && now.label !== "") {
    const [x, y] = toView(affine, end);
    drawLabel(context, now.label, x, y + 12, now.color);
  }
}

function drawLabel(context: CanvasRenderingContext2D, words: string, x: number, y: number, color: [number, number, number]): void {
  context.font = "600 12px Inter, 'Noto Sans', 'Noto Sans CJK SC', sans-serif";
  const width = context.measureText(words).width;
  const left = Math.min(Math.max(x - width / 2, 10), view.size()[0] - width - 10);
  const top = Math.min(Math.max(y, 4), view.size()[1] - 24);
  context.beginPath();
  context.roundRect(left - 7, top, width + 14, 20, 5);
  context.fillStyle = "rgb(255 255 255 / 92%)";
  context.fill();
  context.strokeStyle = `rgb(${color.join(" ")} / 60%)`;
  context.lineWidth = 1;
  context.stroke();
  context.fillStyle = "#221c2b";
  context.textBaseline = "middle";
  context.fillText(words, left, top + 10.5);
}

function drawReticle(context: CanvasRenderingContext2D, x: number, y: number): void {
  for (const [width, color] of [[4, "rgb(255 255 255 / 85%)"], [1.5, "#a3246f"]] as const) {
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
      context.moveTo(x + 4 * dx, y + 4 * dy);
      context.lineTo(x + 14 * dx, y + 14 * dy);
    }
    context.lineWidth = width;
    context.strokeStyle = color;
    context.stroke();
  }
}

export function beginOverlay(): void {
  canvas = make("canvas", "overlay");
  canvas.id = "overlay";
  canvas.setAttribute("aria-hidden", "true");
  element("viewer").append(canvas);
  view.onFrame(draw);
  marks.onChange(redraw);
}
