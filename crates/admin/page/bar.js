// The head of the page, and what is said above it while the API is away.

import { h } from './dom.js';
import { age, moment } from './format.js';

const LINKS = {
  live: ['good', 'live'],
  connecting: ['wait', 'connecting'],
  waiting: ['bad', 'offline'],
};

export function bar(app, here) {
  const [tone, text] = LINKS[app.live.link.state] ?? LINKS.connecting;
  const entry = (href, label, isHere, count) => h(
    'a',
    { href, 'aria-current': isHere ? 'page' : null },
    label,
    count > 0 && h('span', { class: 'count' }, count),
  );
  const who = [app.me.name, app.me.scope, app.me.tenant].filter(Boolean).join(' · ');
  return [
    h('a', { href: '#/', class: 'brand' }, 'trunkline'),
    h(
      'nav',
      { 'aria-label': 'Views' },
      entry('#/', 'Projects', here === 'projects'),
      entry('#/calls', 'Calls', here === 'calls', app.live.calls.size),
    ),
    h('input', {
      id: 'search', type: 'search', placeholder: 'Search  /', 'aria-label': 'Search projects and calls',
      autocomplete: 'off', spellcheck: 'false', maxlength: 100,
    }),
    h('span', { class: `link ${tone}`, id: 'link', role: 'status' }, text),
    h('span', { class: 'me', title: who }, app.me.name),
    h('button', { 'data-action': 'help', class: 'quiet', 'aria-label': 'Keys' }, '?'),
    h('button', { 'data-action': 'sign-out', class: 'quiet' }, 'Sign out'),
  ];
}

export function banner(app) {
  const { state, why, until } = app.live.link;
  if (state !== 'waiting') return [];
  const left = Math.max(0, until - Date.now());
  return [
    h(
      'p',
      {},
      `${why}. `,
      app.lastLive && `What is shown is of ${moment(app.lastLive)}. `,
      'Trying again',
      // Not for those who listen: it would be read out every second.
      h('span', { 'aria-hidden': 'true' }, left >= 1000 ? ` in ${age(left)}` : ' now'),
      '.',
    ),
    h('button', { 'data-action': 'retry', class: 'quiet' }, 'Now'),
  ];
}
