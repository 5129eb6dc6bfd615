// Whose score the sweep maps.

import { createClassPicker } from "../lib/classes.ts";
import type { Session } from "./session.ts";

export function createTarget({ shell, classes, target, on, setTarget }: Session): HTMLElement {
  const { element, show } = createClassPicker(shell, {
    label: "target",
    title: "Whose score is mapped: a class by name or number; or click a class above",
    none: "predicted class",
    names: classes.get,
    shown: () => target.get()?.name ?? "",
    choose: setTarget,
  });
  on(["target"], show);
  return element;
}
