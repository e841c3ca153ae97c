// What is asked and told on top of the page.

import { h, patch } from './dom.js';

const TOAST_MS = 6_000;

// Asks whether something shall be done. Esc is a no.
export function confirm({ title, text, yes }) {
  const dialog = document.getElementById('ask');
  patch(
    dialog,
    h('h2', { id: 'ask-title' }, title),
    h('p', {}, text),
    h(
      'div',
      { class: 'buttons' },
      h('button', { value: 'no', autofocus: true }, 'Cancel'),
      h('button', { value: 'yes', class: 'danger' }, yes),
    ),
  );
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclick = (event) => {
      const button = event.target.closest('button');
      if (button) dialog.close(button.value);
    };
    // The event comes a little after the closing: not of the question before this one.
    dialog.onclose = () => {
      if (!dialog.open) resolve(dialog.returnValue === 'yes');
    };
  });
}

const KEYS = [
  ['/', 'search'],
  ['j  k', 'next and previous line'],
  ['Enter', 'open the line'],
  ['Esc', 'leave the search, or back'],
  ['p', 'projects'],
  ['c', 'calls'],
  ['?', 'this help'],
];

export function help() {
  const dialog = document.getElementById('help');
  patch(
    dialog,
    h('h2', { id: 'help-title' }, 'Keys'),
    h('dl', { class: 'keys' }, KEYS.map(([keys, what]) => h(
      'div',
      {},
      h('dt', {}, keys.split('  ').map((key) => h('kbd', {}, key))),
      h('dd', {}, what),
    ))),
    h('div', { class: 'buttons' }, h('button', { autofocus: true }, 'Close')),
  );
  dialog.onclick = (event) => {
    if (event.target === dialog || event.target.closest('button')) dialog.close();
  };
  dialog.showModal();
}

let timer = null;

// Says something in passing.
export function toast(text, kind = 'good') {
  const place = document.getElementById('toast');
  patch(place, h('p', { class: kind }, text));
  clearTimeout(timer);
  timer = setTimeout(() => patch(place), TOAST_MS);
}
