// Boot: begins every part, then asks Rust what to start with. Behaviour lives in Rust, parts of the page in files.

import { invoke } from "@tauri-apps/api/core";

import { commands } from "./commands";
import { beginMenu } from "./menu";
import { showError } from "./notice";
import "./palette";
import { askPanel } from "./panel/ask";
import { beginCases } from "./panel/cases";
import { model } from "./panel/models";
import { beginSimilar } from "./panel/similar";
import "./shortcuts";
import { beginSide } from "./side";
import { beginAnnotationPanel } from "./stage/annotation-panel";
import { beginFigure } from "./stage/figure";
import { beginInformation } from "./stage/information";
import { beginLook } from "./stage/look";
import { beginMarks } from "./stage/marks";
import { beginOverlay } from "./stage/overlay";
import { beginOpening, openPaths, showRecent } from "./stage/opening";
import { beginScale } from "./stage/scale";
import { tabbing } from "./stage/stage";
import { beginTabs } from "./stage/tabs";
import { beginTools } from "./stage/tools";
import { view } from "./stage/view";
import { changeLanguage, language, text, useTexts } from "./texts";
import { useTheme } from "./theme";
import type { ErrorDto, StartupDto } from "./wire";

async function start(): Promise<void> {
  const startup = await invoke<StartupDto>("startup");
  commands.on("language", () => {
    const at = startup.languages.findIndex((each) => each.code === language());
    const next = startup.languages[(at + 1) % startup.languages.length];
    if (next) void changeLanguage(next.code);
  });
  useTheme(startup.theme);
  let told = "";
  view.onFault = () => {
    // The viewer cannot say why a tile did not come; the reader can, where it is to blame.
    void invoke<ErrorDto[]>("recent_errors").then((errors) => {
      const last = errors.at(-1);
      if (!last || last.message === told) return;
      told = last.message;
      showError({ ...last, message: `${text("stage.fault")}: ${last.message}` });
    });
  };
  beginSide(startup.sidebar_px);
  beginMenu();
  beginTabs();
  beginOpening();
  beginScale();
  beginMarks();
  beginOverlay();
  beginAnnotationPanel();
  beginTools();
  beginLook();
  beginInformation();
  beginFigure();
  askPanel.begin(startup.suggestions);
  beginCases();
  beginSimilar();
  commands.begin(startup.commands);
  useTexts(startup.texts);
  showRecent(startup.recent);
  model.begin();
  for (const report of startup.news) showError(report);
  document.body.classList.add("ready");
  await tabbing.restore(startup.tabs, startup.files.length > 0 ? null : startup.active_tab);
  await openPaths(startup.files.map((file) => file.path));
}

// The web view's own menu offers to load the page anew, which is no part of the program; in fields it helps to write.
document.addEventListener("contextmenu", (event) => {
  if (!(event.target instanceof Element && event.target.closest("input, textarea"))) event.preventDefault();
});
window.addEventListener("unhandledrejection", (event) => showError(event.reason));
start().catch(showError);
