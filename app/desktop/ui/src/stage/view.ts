// The slide on the screen: OpenSeadragon over the tile protocol, and the frames of coordinates.
//
// `base` is a pixel of the slide's finest level, `view` a CSS pixel of the viewer's element. The slide is one unit
// wide in OpenSeadragon's own frame, so that nothing here waits for a picture to have arrived.

import { convertFileSrc } from "@tauri-apps/api/core";
import OpenSeadragon from "openseadragon";

import { debounce, element } from "../dom";
import type { PlacementDto, SlideDto, ViewDto } from "../wire";

export type Point = [number, number];

/** base → view: `[a, b, c, d, e, f]` as `CanvasRenderingContext2D.setTransform` takes them. */
export type Affine = [number, number, number, number, number, number];

export interface Heatmap {
  url: string;
  opacity: number;
}

const SETTLED_MS = 150;
const FAULT_MS = 400;
/** A busy machine and a slow disk: longer than anybody waits for a tile. */
const TILE_MS = 120_000;
/** View pixels for one base pixel, at most: more shows no more. */
const MOST_ZOOM = 8;

/** The look that changes nothing, as `Look::code` of Rust writes it. */
export const NEUTRAL_LOOK = "0.0.100.all";

/** Degrees, 0 to 360. */
const withinTurn = (degrees: number) => ((degrees % 360) + 360) % 360;

class View {
  private readonly viewer: OpenSeadragon.Viewer;
  private slide: SlideDto | null = null;
  private look = NEUTRAL_LOOK;
  /** Shows what was asked for; null once somebody has moved away from it. */
  private wanted: (() => void) | null = null;
  private heat: OpenSeadragon.TiledImage | null = null;
  /** The slide in its looks, the newest on top; the lower ones go when it is whole. */
  private pictures: OpenSeadragon.TiledImage[] = [];
  private readonly onFrameCalls: (() => void)[] = [];
  private readonly onSettledCalls: (() => void)[] = [];
  /** Called when tiles did not come: whoever read them knows whether that is news. */
  onFault: () => void = () => {};

  constructor() {
    this.viewer = new OpenSeadragon.Viewer({
      element: element("viewer"),
      showNavigationControl: false,
      showNavigator: true,
      navigatorPosition: "TOP_RIGHT",
      navigatorSizeRatio: 0.18,
      navigatorRotate: false,
      navigatorAutoFade: false,
      // WebGL reads tiles back; the canvas drawer works on every machine that the web view works on.
      drawer: "canvas",
      crossOriginPolicy: "Anonymous",
      animationTime: 0.35,
      springStiffness: 9,
      maxZoomPixelRatio: MOST_ZOOM,
      // The lowest preset can be reached on a small slide too.
      minZoomImageRatio: 0.1,
      visibilityRatio: 0.2,
      zoomPerScroll: 1.25,
      imageLoaderLimit: 8,
      timeout: TILE_MS,
      // The table of commands has the keys.
      keyboardNavEnabled: false,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: false },
    });
    // One stop of the keyboard is enough: the viewer around it, which has a name.
    for (const inner of element("viewer").querySelectorAll("[tabindex]")) inner.setAttribute("tabindex", "-1");
    const settled = debounce(SETTLED_MS, () => this.onSettledCalls.forEach((call) => call()));
    this.viewer.addHandler("update-viewport", () => {
      for (const call of this.onFrameCalls) call();
    });
    for (const change of ["viewport-change", "open", "rotate", "resize"] as const) this.viewer.addHandler(change, settled);
    for (const gesture of ["canvas-drag", "canvas-scroll", "canvas-pinch", "navigator-click", "navigator-drag"] as const) {
      this.viewer.addHandler(gesture, () => (this.wanted = null));
    }
    // The viewer was made before the styles and the side had their say, and looks at its size only while a slide is
    // open: the first frame may change it, and the scale with it. Until somebody moves it, what was asked for is shown.
    this.viewer.addHandler("resize", () => {
      setTimeout(() => {
        if (this.slide) this.wanted?.();
      });
    });
    // One unreadable tile is often one of hundreds; and one that is no longer wanted fails too.
    const fault = debounce(FAULT_MS, () => this.onFault());
    this.viewer.addHandler("tile-load-failed", fault);
  }

  /** Calls whenever the picture is drawn: what lies over it is drawn in the same frame. */
  onFrame(call: () => void): void {
    this.onFrameCalls.push(call);
  }

  /** Calls when the view has come to rest. */
  onSettled(call: () => void): void {
    this.onSettledCalls.push(call);
  }

  /** Shows a slide: where it was looked at before, else the whole of it. */
  async open(slide: SlideDto, placement: PlacementDto | null, look: string): Promise<void> {
    this.slide = slide;
    element("viewer").dataset.handle = slide.handle;
    this.look = look;
    this.heat = null;
    this.pictures = [];
    this.wanted = () => {
      if (placement) this.place(placement);
      else this.viewer.viewport.goHome(true);
    };
    // Without a size the viewer computes a scale of nothing, and stays there.
    while (element("viewer").clientWidth < 2 || element("viewer").clientHeight < 2) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (this.slide !== slide) return;
    this.viewer.addOnceHandler("open", () => {
      if (this.slide !== slide) return;
      this.viewer.viewport.setRotation(placement?.rotation_degrees ?? 0, true);
      this.wanted?.();
    });
    this.viewer.open({ tileSource: this.tileSource() } as unknown as OpenSeadragon.TileSourceSpecifier);
  }

  /** Takes over what is newly known of the slide that is shown. */
  describe(slide: SlideDto): void {
    if (this.slide?.handle === slide.handle) this.slide = slide;
  }

  close(): void {
    this.slide = null;
    delete element("viewer").dataset.handle;
    this.viewer.close();
    for (const call of this.onFrameCalls) call();
  }

  /** Shows the slide in another look; the old picture stays until the new one is there. */
  setLook(look: string): void {
    if (!this.slide || look === this.look) return;
    this.look = look;
    const slide = this.slide;
    if (this.pictures.length === 0) this.pictures = [this.viewer.world.getItemAt(0)].filter(Boolean);
    this.viewer.addTiledImage({
      tileSource: this.tileSource() as unknown as string,
      width: 1,
      index: this.pictures.length,
      success: (event) => {
        const fresh = (event as unknown as { item: OpenSeadragon.TiledImage }).item;
        // Sliders are faster than tiles: what is no longer wanted does not stay.
        if (this.slide !== slide || this.look !== look) return this.viewer.world.removeItem(fresh);
        this.pictures.push(fresh);
        fresh.addHandler("fully-loaded-change", () => {
          const below = this.pictures.slice(0, this.pictures.indexOf(fresh));
          if (!fresh.getFullyLoaded() || below.length === 0) return;
          this.pictures = this.pictures.slice(below.length);
          for (const old of below) this.viewer.world.removeItem(old);
        });
      },
    });
  }

  private tileSource(): object {
    const slide = this.slide as SlideDto;
    const maxLevel = Math.ceil(Math.log2(Math.max(slide.width_px, slide.height_px)));
    const base = `${convertFileSrc("", "slide")}${slide.handle}/${this.look}/`;
    return {
      width: slide.width_px,
      height: slide.height_px,
      tileSize: slide.tile_px,
      tileOverlap: 0,
      // Levels that are smaller than one tile add requests and show nothing.
      minLevel: Math.max(0, Math.min(maxLevel, Math.floor(Math.log2(slide.tile_px)))),
      maxLevel,
      getTileUrl: (level: number, x: number, y: number) => `${base}${level}/${x}_${y}.jpg`,
    };
  }

  /** View pixels for one base pixel. */
  zoom(): number {
    const width_px = this.slide?.width_px ?? 1;
    return (this.viewer.viewport.getZoom(true) * this.viewer.viewport.getContainerSize().x) / width_px;
  }

  /** Zooms to a scale, around a place of the view, else around its centre. */
  setZoom(zoom: number, around?: Point): void {
    if (!this.slide) return;
    this.wanted = null;
    const viewport = this.viewer.viewport;
    const centre = around && viewport.viewerElementToViewportCoordinates(new OpenSeadragon.Point(...around));
    viewport.zoomTo((zoom * this.slide.width_px) / viewport.getContainerSize().x, centre);
    viewport.applyConstraints();
  }

  zoomBy(factor: number): void {
    if (!this.slide) return;
    this.wanted = null;
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  /** Shows the whole slide. */
  home(): void {
    if (!this.slide) return;
    this.wanted = () => this.viewer.viewport.goHome(true);
    this.viewer.viewport.goHome();
  }

  /** Moves by a part of what is visible. */
  panBy(right: number, down: number): void {
    if (!this.slide) return;
    this.wanted = null;
    const size = this.viewer.viewport.getContainerSize();
    const delta = new OpenSeadragon.Point(right * size.x, down * size.y);
    this.viewer.viewport.panBy(this.viewer.viewport.deltaPointsFromPixels(delta));
    this.viewer.viewport.applyConstraints();
  }

  /** Degrees, clockwise, 0 to 360. */
  rotation(): number {
    return withinTurn(this.viewer.viewport.getRotation(true));
  }

  rotateTo(degrees: number): void {
    if (this.slide) this.viewer.viewport.setRotation(degrees);
  }

  rotateBy(degrees: number): void {
    if (this.slide) this.viewer.viewport.setRotation(this.viewer.viewport.getRotation() + degrees);
  }

  minimap(shown: boolean): void {
    element("viewer").classList.toggle("no-minimap", !shown);
  }

  /** Lays a picture over the whole slide, or takes it away. */
  heatmap(picture: Heatmap | null): void {
    if (this.heat) this.viewer.world.removeItem(this.heat);
    this.heat = null;
    const slide = this.slide;
    if (!picture || !slide) return;
    this.viewer.addSimpleImage({
      url: picture.url,
      opacity: picture.opacity,
      x: 0,
      y: 0,
      width: 1,
      success: (event) => {
        const item = (event as unknown as { item: OpenSeadragon.TiledImage }).item;
        if (this.slide === slide) {
          if (this.heat) this.viewer.world.removeItem(this.heat);
          this.heat = item;
        } else this.viewer.world.removeItem(item);
      },
    });
  }

  /** Where the view is, or is on its way to: a tab that is left meanwhile comes back there. */
  placement(): PlacementDto | null {
    if (!this.slide) return null;
    const viewport = this.viewer.viewport;
    const centre = viewport.getCenter(false);
    const width_px = this.slide.width_px;
    return {
      center_base_px: [centre.x * width_px, centre.y * width_px],
      downsample: width_px / viewport.getZoom(false) / viewport.getContainerSize().x,
      rotation_degrees: withinTurn(viewport.getRotation(false)),
    };
  }

  /** Centre and scale; the rotation is set once, when the slide opens. */
  private place(placement: PlacementDto): void {
    if (!this.slide) return;
    const viewport = this.viewer.viewport;
    const width_px = this.slide.width_px;
    viewport.zoomTo(width_px / placement.downsample / viewport.getContainerSize().x, undefined, true);
    viewport.panTo(new OpenSeadragon.Point(placement.center_base_px[0] / width_px, placement.center_base_px[1] / width_px), true);
  }

  /** What is visible of the slide, in base pixels; null without a slide. Of a rotated view, the box around it. */
  view(): ViewDto | null {
    const slide = this.slide;
    if (!slide) return null;
    const rect = this.viewer.viewport.getBounds(true).getBoundingBox();
    const width_px = slide.width_px;
    const left = Math.max(0, Math.floor(rect.x * width_px));
    const top = Math.max(0, Math.floor(rect.y * width_px));
    const right = Math.min(width_px, Math.ceil((rect.x + rect.width) * width_px));
    const bottom = Math.min(slide.height_px, Math.ceil((rect.y + rect.height) * width_px));
    if (!(right > left && bottom > top)) return null;
    return { x_base_px: left, y_base_px: top, width_base_px: right - left, height_base_px: bottom - top };
  }

  /** Moves so that a part of the slide fills the view. */
  fit(view: ViewDto, immediately = false): void {
    if (!this.slide) return;
    const unit = this.slide.width_px;
    const rect = new OpenSeadragon.Rect(view.x_base_px / unit, view.y_base_px / unit, view.width_base_px / unit, view.height_base_px / unit);
    this.wanted = () => this.viewer.viewport.fitBounds(rect, true);
    this.viewer.viewport.fitBounds(rect, immediately);
  }

  /** Width and height of the viewer's element. */
  size(): Point {
    const size = this.viewer.viewport.getContainerSize();
    return [size.x, size.y];
  }

  affine(): Affine {
    const unit = this.slide?.width_px ?? 1;
    const at = (x: number, y: number) => this.viewer.viewport.viewportToViewerElementCoordinates(new OpenSeadragon.Point(x, y));
    const origin = at(0, 0);
    const right = at(1, 0);
    const down = at(0, 1);
    return [(right.x - origin.x) / unit, (right.y - origin.y) / unit, (down.x - origin.x) / unit, (down.y - origin.y) / unit, origin.x, origin.y];
  }

  /** The base pixel under a place of the view. */
  baseAt(view: Point): Point {
    const point = this.viewer.viewport.viewerElementToViewportCoordinates(new OpenSeadragon.Point(...view));
    const unit = this.slide?.width_px ?? 1;
    return [point.x * unit, point.y * unit];
  }

  /** Draws the next frame, though nothing has moved. */
  redraw(): void {
    for (const call of this.onFrameCalls) call();
  }
}

export const view = new View();
