// Elements and texts. Names come from budgets and from traffic: they are only ever text nodes, each isolated from the
// direction of its surroundings and without what cannot be seen.

const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+/g;

export const byId = (id) => document.getElementById(id);

export const plain = (text) => String(text ?? "").replace(UNSEEN, " ");

/** An element with a class, and what is in it: texts, or elements. */
export function el(tag, className = "", ...inside) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...inside.map((one) => (one instanceof Node ? one : plain(one))));
  return made;
}

/** Change a text only where it is another one: a screen reader reads what changes. */
export function say(element, text) {
  const said = plain(text);
  if (element.textContent !== said) element.textContent = said;
  element.hidden = said === "";
}

export function button(text, className, pressed) {
  const made = el("button", className, text);
  made.type = "button";
  made.addEventListener("click", pressed);
  return made;
}

/** Make `parent` hold exactly these elements in this order, without touching those that stay: focus is kept. */
export function arrange(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  elements.forEach((one, index) => {
    if (parent.children[index] !== one) parent.insertBefore(one, parent.children[index] ?? null);
  });
}
