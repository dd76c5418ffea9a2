// The stage: the slides that are open, each in its tab, and the one that is shown. Panels know it by this interface
// and nothing else of the viewer.

import { invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { debounce } from "../dom";
import { asReport, showError, trying } from "../notice";
import type { AnnotationDto, ErrorDto, PlacementDto, SlideDto, TabDto, ViewDto } from "../wire";
import { view, type Heatmap } from "./view";

/** A slide by any of its names. */
export interface SlideName {
  handle?: string | undefined;
  id?: string | undefined;
  path?: string | undefined;
}

/** An annotation that is chosen, and the box around it. */
export interface Selection {
  annotation: AnnotationDto;
  bounds: ViewDto;
}

/** A tab; its slide is opened when it is first looked at. */
export interface Tab {
  path: string;
  title: string;
  slide: SlideDto | null;
  /** Why its slide cannot be opened. */
  error: ErrorDto | null;
  placement: PlacementDto | null;
}

const tabs: Tab[] = [];
let active: Tab | null = null;
let chosen: Selection | null = null;
/** Counts what is shown: an older opening that ends late shows nothing. */
let turn = 0;
const changeCalls: (() => void)[] = [];
const tabCalls: (() => void)[] = [];

export const stage = {
  /** The slide that is shown. */
  slide(): SlideDto | null {
    return active?.slide ?? null;
  },

  /** What is visible of it, in base pixels. */
  view(): ViewDto | null {
    return active?.slide ? view.view() : null;
  },

  /** The annotation that is chosen. */
  selection(): Selection | null {
    return chosen;
  },

  /** Whether what is shown is a plain picture and no whole slide. */
  picture(): boolean {
    return ["png", "jpeg", "webp", "bmp", "tiff"].includes(active?.slide?.format ?? "");
  },

  /** Calls when another slide is shown, the view has come to rest, or another annotation is chosen. */
  onChange(call: () => void): void {
    changeCalls.push(call);
  },

  /** Returns the viewer to a place, opening a tab when needed; says whether it could. */
  async show(name: SlideName, place: ViewDto): Promise<boolean> {
    const tab = tabs.find((each) => isNamed(each, name));
    if (tab) await activate(tab);
    else if (name.path === undefined || !(await this.open(name.path))) return false;
    if (!active?.slide) return false;
    view.fit(place);
    return true;
  },

  /** Opens files, each in a tab, and shows the first of them; says whether it could. */
  async open(...paths: string[]): Promise<boolean> {
    const fresh = paths.map((path) => tabs.find((tab) => tab.path === path) ?? addTab(path));
    const first = fresh[0];
    return first !== undefined && (await activate(first));
  },

  /** Stretches a picture over the slide, or takes it away. */
  heatmap(picture: Heatmap | null): void {
    view.heatmap(picture);
  },
};

/** The tabs, for the strip that shows them. */
export const tabbing = {
  all: (): readonly Tab[] => tabs,
  active: (): Tab | null => active,
  onChange: (call: () => void): void => void tabCalls.push(call),
  activate,
  close,
  /** Takes tabs over from an earlier run; their slides are opened when they are looked at. */
  async restore(earlier: TabDto[], at: number | null): Promise<void> {
    for (const { path, placement } of earlier) {
      if (!tabs.some((tab) => tab.path === path)) addTab(path).placement = placement;
    }
    const front = at === null ? undefined : tabs[at];
    if (front) await activate(front);
  },
  /** Takes over what is newly known of an open slide: its scale was stated. */
  describe(slide: SlideDto): void {
    const tab = tabs.find((each) => each.slide?.handle === slide.handle);
    if (!tab) return;
    tab.slide = slide;
    view.describe(slide);
    tabsChanged();
    changed();
  },
};

/** Says which annotation is chosen. */
export function choose(selection: Selection | null): void {
  chosen = selection;
  commands.need("selection", selection !== null);
  changed();
}

export function changed(): void {
  for (const call of changeCalls) {
    try {
      call();
    } catch (error) {
      // A panel that fails must not keep the others from hearing.
      showError(error);
    }
  }
}

function isNamed(tab: Tab, name: SlideName): boolean {
  if (name.handle !== undefined && tab.slide?.handle === name.handle) return true;
  if (name.id !== undefined && tab.slide?.id === name.id) return true;
  return name.path !== undefined && tab.path === name.path;
}

function addTab(path: string, title = path.replace(/^.*[/\\]/, "")): Tab {
  const tab: Tab = { path, title, slide: null, error: null, placement: null };
  tabs.push(tab);
  return tab;
}

/** Remembers the tabs and where each is looked at: a window that is killed comes back as it was. */
const remember = debounce(400, () => {
  const kept: TabDto[] = tabs.map(({ path, placement }) => ({ path, placement }));
  const at = active ? tabs.indexOf(active) : -1;
  void trying(() => invoke("remember_tabs", { tabs: kept, activeTab: at < 0 ? null : at }));
});

function tabsChanged(): void {
  remember();
  commands.need("slide", active?.slide != null);
  for (const call of tabCalls) call();
}

async function activate(tab: Tab): Promise<boolean> {
  if (tab === active && tab.slide) return true;
  const mine = ++turn;
  if (active) active.placement = view.placement() ?? active.placement;
  active = tab;
  chosen = null;
  commands.need("selection", false);
  view.close();
  tabsChanged();
  if (!tab.slide) {
    try {
      tab.slide = await invoke<SlideDto>("open_path", { path: tab.path });
      tab.title = tab.slide.title;
      tab.error = null;
    } catch (error) {
      tab.error = asReport(error);
      showError(error);
      tabs.splice(tabs.indexOf(tab), 1);
      if (active === tab) {
        active = null;
        const other = tabs.find((each) => each.slide);
        if (other && mine === turn) await activate(other);
      }
      tabsChanged();
      changed();
      return false;
    }
    if (!tabs.includes(tab)) {
      // Closed while it was being opened.
      void invoke("close_slide", { slide: tab.slide.handle });
      return false;
    }
  }
  if (mine !== turn) return true;
  await view.open(tab.slide, tab.placement, tab.slide.look);
  tabsChanged();
  changed();
  return true;
}

async function close(tab: Tab): Promise<void> {
  const at = tabs.indexOf(tab);
  if (at < 0) return;
  tabs.splice(at, 1);
  if (tab.slide) void invoke("close_slide", { slide: tab.slide.handle });
  if (tab !== active) return tabsChanged();
  active = null;
  chosen = null;
  turn += 1;
  view.close();
  const next = tabs[at] ?? tabs[at - 1];
  if (next) await activate(next);
  else {
    tabsChanged();
    changed();
  }
}

view.onSettled(() => {
  if (active?.slide) {
    active.placement = view.placement();
    remember();
    changed();
  }
});
