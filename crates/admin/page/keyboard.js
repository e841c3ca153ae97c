// The page by keyboard.

import { help } from './dialogs.js';

const rows = () => [...document.querySelectorAll('#main [data-row]')];

function step(by) {
  const all = rows();
  if (all.length === 0) return;
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1);
  all[next].focus();
  all[next].scrollIntoView({ block: 'nearest' });
}

function leave() {
  if (document.activeElement?.matches('[data-row]')) document.activeElement.blur();
  else if (location.hash.split('/').length > 2) location.hash = `#/${parent()}`;
  else location.hash = '#/';
}

const parent = () => (location.hash.startsWith('#/calls/') ? 'calls' : '');

const KEYS = {
  '/': () => {
    const search = document.getElementById('search');
    search.focus();
    search.select();
  },
  j: () => step(1),
  k: () => step(-1),
  p: () => { location.hash = '#/'; },
  c: () => { location.hash = '#/calls'; },
  '?': help,
  Escape: leave,
};

export function listen() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector('dialog[open]')) return;
    const field = event.target.closest('input, select, textarea');
    if (field) {
      if (event.key === 'Escape' && field.id === 'search') {
        field.value = '';
        field.blur();
        if (location.hash.startsWith('#/search')) location.hash = '#/';
      }
      return;
    }
    const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
    if (act && document.getElementById('search')) {
      event.preventDefault();
      act();
    }
  });
}
