// The menu of everything: the table of commands by groups, with keys; behind the program's name.

import { commands } from "./commands";
import { arrowKeys, element, make, makeButton } from "./dom";
import { makeKeys } from "./shortcuts";
import { text } from "./texts";

export function beginMenu(): void {
  const button = element("menu-button");
  const menu = element("menu");
  const build = () => {
    const groups = new Map<string, HTMLElement>();
    for (const command of commands.all()) {
      let group = groups.get(command.group);
      if (!group) {
        group = make("section", "menu-group");
        group.setAttribute("role", "group");
        group.setAttribute("aria-label", text(`group.${command.group}`));
        group.append(make("h2", "section-title", text(`group.${command.group}`)));
        groups.set(command.group, group);
      }
      const item = makeButton("menu-command", "", () => {
        menu.hidePopover();
        commands.run(command.id);
      });
      item.setAttribute("role", "menuitem");
      item.disabled = !commands.enabled(command.id);
      item.append(make("span", "", text(`command.${command.id}`)));
      if (command.keys[0] !== undefined) item.append(makeKeys(command.keys[0]));
      group.append(item);
    }
    const columns = make("div", "menu-columns");
    columns.append(...groups.values());
    menu.replaceChildren(columns);
  };
  button.addEventListener("click", () => {
    if (menu.matches(":popover-open")) return menu.hidePopover();
    build();
    menu.showPopover();
    menu.querySelector<HTMLElement>("button:not(:disabled)")?.focus();
  });
  menu.addEventListener("toggle", (event) => button.setAttribute("aria-expanded", String((event as ToggleEvent).newState === "open")));
  arrowKeys(menu, () => [...menu.querySelectorAll<HTMLElement>("button:not(:disabled)")]);
}
