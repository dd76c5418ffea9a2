// Light, dark, or as the system is; every colour is a token that knows both (`styles/tokens.css`).

import { invoke } from "@tauri-apps/api/core";

import { commands } from "./commands";
import { trying } from "./notice";

export type Theme = "system" | "light" | "dark";
const ORDER: Theme[] = ["system", "light", "dark"];
let theme: Theme = "system";

/** Shows this theme. */
export function useTheme(to: string): void {
  theme = ORDER.find((each) => each === to) ?? "system";
  document.documentElement.dataset.theme = theme;
}

/** Whether what is shown now is dark. */
export function isDark(): boolean {
  return theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
}

commands.on("theme", () => {
  useTheme(isDark() ? "light" : "dark");
  void trying(() => invoke("remember_theme", { theme }));
});
