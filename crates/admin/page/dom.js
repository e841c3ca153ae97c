// Elements, and bringing what is shown to what shall be shown.
//
// Views make a whole new tree each time; `patch` changes only what differs, so that the focus,
// the place that was scrolled to and what was typed stay. Text comes in as text nodes only.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

// An element: h('a', { href: '#/' }, 'text', otherElement). `data-key` tells those of a list apart.
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

const key = (node) => node.dataset?.key;

const isAlike = (one, other) => one.nodeName === other.nodeName && key(one) === key(other);

// Makes the children of an element alike to the wanted ones.
export function patch(parent, ...wanted) {
  const fresh = nodes(wanted);
  const staying = new Set(fresh.map(key).filter(Boolean));
  const known = new Map();
  for (const child of [...parent.childNodes]) {
    if (!key(child)) continue;
    if (staying.has(key(child))) known.set(key(child), child);
    // Gone before the others are placed: what is moved loses the focus.
    else child.remove();
  }
  let place = parent.firstChild;
  for (const node of fresh) {
    const old = key(node) ? known.get(key(node)) : place;
    if (old && isAlike(old, node)) {
      if (old === place) place = place.nextSibling;
      else parent.insertBefore(old, place);
      become(old, node);
    } else {
      parent.insertBefore(node, place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

function become(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    // Whether details are open is the reader's.
    const isReaders = name === 'open' && old.nodeName === 'DETAILS';
    if (!fresh.hasAttribute(name) && !isReaders) old.removeAttribute(name);
  }
  // What is chosen and typed is the reader's as well.
  if (old.nodeName !== 'SELECT' || old.children.length !== fresh.children.length) {
    patch(old, ...fresh.childNodes);
  }
}
