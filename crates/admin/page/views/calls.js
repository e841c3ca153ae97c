// Calls under way, and those that are over.

import { query } from '../api.js';
import { h } from '../dom.js';
import { OUTCOME_NAMES, words } from '../format.js';
import { callTable, cards, moreButton, shown, withEnded } from '../parts.js';
import { List } from '../resource.js';

// A record is written a moment after its call has ended.
export const RECORD_MS = 1_500;

export function callsView(app) {
  let outcome = '';
  let past = read();

  function read() {
    return new List(
      app.api,
      (page) => query('/v1/calls', { outcome, ...page }),
      app.changed,
    );
  }

  return {
    title: 'Calls',
    on(action, _name, value) {
      if (action === 'more') return past.more();
      if (action === 'outcome') {
        past.stop();
        outcome = value;
        past = read();
      }
      return undefined;
    },
    news(name) {
      if (name === 'call_ended') past.refreshIn(RECORD_MS);
    },
    stop: () => past.stop(),
    render() {
      const live = [...app.live.calls.values()];
      const ended = app.live.ended.filter((call) => !outcome || call.outcome === outcome);
      const choice = h(
        'select',
        { 'data-action': 'outcome', 'aria-label': 'How it ended' },
        h('option', { value: '' }, 'however they ended'),
        OUTCOME_NAMES.map((name) => h('option', { value: name }, words(name))),
      );
      return [
        h('h1', {}, 'Live calls'),
        cards(live, 'No calls at the moment.'),
        h('div', { class: 'heading' }, h('h2', {}, 'Calls that are over'), choice),
        shown(past, ({ items }) => {
          const calls = withEnded(items, ended);
          return calls.length ? callTable('Calls that are over', calls) : h('p', { class: 'empty' }, 'None.');
        }),
        moreButton(past),
      ];
    },
  };
}
