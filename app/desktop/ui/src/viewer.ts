// The slide view: OpenSeadragon over the tile protocol, scale bar, magnification, and the view in base pixels.

import { convertFileSrc } from "@tauri-apps/api/core";
import OpenSeadragon from "openseadragon";

import { element } from "./dom";
import type { SlideDto, ViewDto } from "./wire";

/** Lengths that a scale bar may show, in micrometres or pixels. */
const ROUND_LENGTHS = [1, 2, 5].flatMap((step) => [0, 1, 2, 3, 4, 5].map((power) => step * 10 ** power)).sort((a, b) => a - b);
const LONGEST_BAR_PX = 140;

export class SlideView {
  private readonly viewer: OpenSeadragon.Viewer;
  private slide: SlideDto | null = null;
  private moved = false;

  constructor(onFault: (message: string) => void) {
    this.viewer = new OpenSeadragon.Viewer({
      element: element("viewer"),
      showNavigationControl: false,
      showNavigator: true,
      navigatorPosition: "TOP_RIGHT",
      // WebGL reads tiles back; the canvas drawer works on every machine that the web view works on.
      drawer: "canvas",
      crossOriginPolicy: "Anonymous",
      animationTime: 0.4,
      maxZoomPixelRatio: 4,
      visibilityRatio: 0.2,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    });
    this.viewer.addHandler("update-viewport", () => this.showScale());
    this.viewer.addHandler("open", () => {
      this.moved = false;
      this.viewer.viewport.goHome(true);
      this.showScale();
    });
    for (const gesture of ["canvas-drag", "canvas-scroll", "canvas-double-click"] as const) {
      this.viewer.addHandler(gesture, () => (this.moved = true));
    }
    // A slide may be opened before the window has its final size: until somebody moves it, the whole of it is shown.
    this.viewer.addHandler("resize", () => {
      if (!this.moved && this.viewer.world.getItemCount() > 0) setTimeout(() => this.viewer.viewport.goHome(true));
    });
    let faulted = false;
    this.viewer.addHandler("tile-load-failed", () => {
      // One unreadable tile is often one of hundreds: say it once for a slide.
      if (!faulted) onFault("a part of this slide cannot be read");
      faulted = true;
    });
    element("zoom-in").addEventListener("click", () => this.zoomBy(1.6));
    element("zoom-out").addEventListener("click", () => this.zoomBy(1 / 1.6));
    element("zoom-home").addEventListener("click", () => this.viewer.viewport.goHome());
  }

  async open(slide: SlideDto): Promise<void> {
    this.slide = slide;
    // Without a size the viewer computes a scale of nothing, and stays there.
    while (element("viewer").clientWidth < 2 || element("viewer").clientHeight < 2) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const maxLevel = Math.ceil(Math.log2(Math.max(slide.width_px, slide.height_px)));
    const base = convertFileSrc("", "slide");
    const tileSource = {
      width: slide.width_px,
      height: slide.height_px,
      tileSize: slide.tile_px,
      tileOverlap: 0,
      // Levels that are smaller than one tile add requests and show nothing.
      minLevel: Math.max(0, Math.min(maxLevel, Math.floor(Math.log2(slide.tile_px)))),
      maxLevel,
      getTileUrl: (level: number, x: number, y: number) => `${base}${slide.handle}/0.0.100.all/${level}/${x}_${y}.jpg`,
    };
    this.viewer.open({ tileSource });
    element("empty").hidden = true;
    for (const id of ["scale", "zoom", "zoom-buttons"]) element(id).hidden = false;
  }

  zoomBy(factor: number): void {
    this.moved = true;
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  home(): void {
    if (this.slide) this.viewer.viewport.goHome();
  }

  /** What is visible of the slide, in base pixels; null without a slide. */
  view(): ViewDto | null {
    const slide = this.slide;
    const item = this.viewer.world.getItemAt(0);
    if (!slide || !item) return null;
    const rect = item.viewportToImageRectangle(this.viewer.viewport.getBounds(true));
    const left = Math.max(0, Math.floor(rect.x));
    const top = Math.max(0, Math.floor(rect.y));
    const right = Math.min(slide.width_px, Math.ceil(rect.x + rect.width));
    const bottom = Math.min(slide.height_px, Math.ceil(rect.y + rect.height));
    if (right <= left || bottom <= top) return null;
    return { x_base_px: left, y_base_px: top, width_base_px: right - left, height_base_px: bottom - top };
  }

  /** Moves to a view that an answer was about. */
  show(view: ViewDto): void {
    const item = this.viewer.world.getItemAt(0);
    if (!item) return;
    const rect = new OpenSeadragon.Rect(view.x_base_px, view.y_base_px, view.width_base_px, view.height_base_px);
    this.viewer.viewport.fitBounds(item.imageToViewportRectangle(rect));
  }

  private showScale(): void {
    const slide = this.slide;
    const item = this.viewer.world.getItemAt(0);
    if (!slide || !item) return;
    // Screen pixels for one base pixel.
    const zoom = item.viewportToImageZoom(this.viewer.viewport.getZoom(true));
    const unitPerScreenPx = (slide.mpp ?? 1) / zoom;
    const length = ROUND_LENGTHS.filter((l) => l / unitPerScreenPx <= LONGEST_BAR_PX).at(-1) ?? 1;
    element("scale-line").style.width = `${Math.round(length / unitPerScreenPx)}px`;
    element("scale-text").textContent = slide.mpp === null ? `${length} px` : length >= 1000 ? `${length / 1000} mm` : `${length} µm`;
    const objective = slide.magnification === null ? null : slide.magnification * zoom;
    element("zoom").textContent = objective === null ? `${(zoom * 100).toFixed(zoom < 0.1 ? 1 : 0)} %` : `${objective.toFixed(objective < 10 ? 1 : 0)}×`;
  }
}
