// The printed list of keys, out of the table of commands.

import { commands, spoken } from "./commands";
import { make, makeButton, openDialog } from "./dom";
import { text } from "./texts";

/** A key as a picture of keys. */
export function makeKeys(key: string): HTMLElement {
  const keys = make("kbd", "keys");
  for (const part of spoken(key).split(" ")) keys.append(make("span", "", part));
  return keys;
}

commands.on("shortcuts", () => {
  const columns = make("div", "shortcuts");
  const groups = new Map<string, HTMLElement>();
  for (const command of commands.all()) {
    if (command.keys.length === 0) continue;
    let group = groups.get(command.group);
    if (!group) {
      group = make("dl", "shortcuts-group");
      const section = make("section");
      section.append(make("h3", "", text(`group.${command.group}`)), group);
      columns.append(section);
      groups.set(command.group, group);
    }
    const keys = make("dd");
    keys.append(...command.keys.map(makeKeys));
    group.append(make("dt", "", text(`command.${command.id}`).replace(/…$/, "")), keys);
  }
  const close = makeButton("button primary", text("dialog.close"), () => dialog.close());
  const row = make("div", "dialog-row");
  row.append(makeButton("button", text("shortcuts.print"), () => window.print()), close);
  const dialog = openDialog("wide printed", text("command.shortcuts"), columns, row);
  close.focus();
});
