// How it pools: op, window, stride, padding, dilation, ceil mode. All of it is answered at once, in
// the browser; what cannot be is explained beside the slider that is to blame.

import { button, checkbox, select, slider } from "../lib/controls.ts";
import { h, setProps, text } from "../lib/dom.ts";
import { box, uniqueId } from "../lib/small.ts";
import type { Session } from "./session.ts";
import { FIELDS, type Field, isGlobal, OPS, type Op, sameHow } from "./settings.ts";

const TIPS: Record<Field, string> = {
  window: "Cells that become one",
  stride: "Cells from one window to the next",
  padding: "Cells around the map",
  dilation: "Cells from one value of a window to the next",
};
const SIDES = ["rows", "columns"];
/** A slider's largest value, unless Python or the network have a larger one. */
const USUAL = 12;

export function createControls(session: Session) {
  const { signal } = session.shell;
  const ops = select<Op>(
    {
      label: "op",
      options: OPS.map((op) => [op, op.replace("_", " ")]),
      value: "max",
      onChange: (op) => session.change({ op }),
    },
    signal,
  );
  const ceil = checkbox(
    {
      label: "ceil mode",
      title: "Also windows that reach beyond the lower and right edge",
      value: false,
      onChange: (ceil_mode) => session.change({ ceil_mode }),
    },
    signal,
  );
  /** Rows and columns have sliders of their own. */
  let apart = false;
  const sides = checkbox(
    {
      label: "rows ≠ columns",
      title: "A setting of their own for rows and for columns",
      value: false,
      onChange: (value) => {
        apart = value;
        const { how } = session;
        const square = (field: Field) => [field, [how[field][0], how[field][0]]];
        if (!apart) session.change(Object.fromEntries(FIELDS.map(square)));
        show();
      },
    },
    signal,
  );
  const own = button(
    { label: "as the network does", onClick: () => session.change(session.own ?? {}) },
    signal,
  );
  const fields = FIELDS.map(createField);
  const element = box(
    "po-settings",
    box("po-setting", ops.el),
    ...fields.map((field) => field.element),
    ceil.el,
    sides.el,
    own,
  );
  session.on(["shown", "tiles"], show);
  return { element };

  function show(): void {
    const { how, problem } = session;
    const whole = isGlobal(how);
    ops.value = how.op;
    ceil.value = how.ceil_mode;
    apart ||= FIELDS.some((field) => how[field][0] !== how[field][1]);
    sides.value = apart;
    setProps(sides.input, { disabled: whole });
    for (const field of fields) field.show(whole);
    own.disabled = !session.own || sameHow(session.own, how);
    session.shell.root.toggleAttribute("data-illegal", problem !== null);
  }

  /** One setting: a slider, or two where rows and columns differ, and what is wrong with it. */
  function createField(field: Field) {
    const min = field === "padding" ? 0 : 1;
    const id = uniqueId();
    const note = h("p", { class: "po-problem", id, "aria-live": "polite", hidden: true });
    const controls = SIDES.map((side, i) =>
      slider(
        {
          label: i ? `${field} of ${side}` : field,
          quiet: i > 0,
          title: TIPS[field],
          min,
          max: USUAL,
          value: min,
          format: (value) => (apart ? `${value} ${side}` : `${value}`),
          onInput: (value) => {
            const [rows, columns] = session.how[field];
            const pair = [i ? rows : value, i || !apart ? value : columns];
            session.change({ [field]: pair });
          },
        },
        signal,
      ),
    );
    const element = h(
      "div",
      { class: "po-setting", "data-field": field },
      ...controls.map(({ el }) => el),
      note,
    );
    return { element, show };

    function show(off: boolean): void {
      const { problem, how } = session;
      const wrong = problem?.field === field;
      controls.forEach((control, i) => {
        const { el, input } = control;
        const value = how[field][i] as number;
        el.hidden = i > 0 && !apart;
        if (value > Number((input as HTMLInputElement).max)) setProps(input, { max: value });
        control.value = value;
        setProps(input, {
          disabled: off,
          "aria-invalid": wrong && "true",
          "aria-describedby": wrong && id,
        });
      });
      element.toggleAttribute("data-wrong", wrong);
      note.hidden = !wrong;
      text(note, wrong ? problem.text : "");
    }
  }
}
