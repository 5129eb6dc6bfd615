// Colours of classes: told apart with any kind of colour vision, on light and on dark. After Okabe
// & Ito and Paul Tol; the first is that of the answer for the whole picture.

const COLOURS = [
  0x0072b2, 0xe69f00, 0xcc79a7, 0x009e73, 0xf0e442, 0xd55e00, 0x56b4e9, 0x882255, 0xddddaa,
  0x332288,
];
const OTHER = 0x888888;

/** So many classes have a colour of their own; all others share a grey. */
export const COLOURED = COLOURS.length;

/** "#0072b2" of the class at a place in the order. */
export function classColour(place: number): string {
  return `#${(COLOURS[place] ?? OTHER).toString(16).padStart(6, "0")}`;
}

/** The same as a packed pixel; that of the answer for the whole picture is faint, so that the places
 * where it changes stand out. */
export function classPixel(place: number): number {
  const rgb = COLOURS[place] ?? OTHER;
  const alpha = place === 0 ? 96 : 255;
  return ((alpha << 24) | ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
}
