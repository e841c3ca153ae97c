// What several views are made of.

import { h, svg } from './dom.js';
import {
  age, duration, moment, outcomeTone, parties, rough, since, stateTone, stepTone, words,
} from './format.js';

export const pill = (tone, text) => h('span', { class: `pill ${tone}` }, text);

export const statePill = (state) => pill(stateTone(state), words(state));

export function callPill(call) {
  if (call.is_live) return pill(stepTone(call.step), words(call.step));
  return pill(outcomeTone(call.outcome), words(call.outcome ?? 'over'));
}

export const when = (time) => h('time', { datetime: time, title: time }, moment(time));

export const projectLink = (slug) => h('a', { href: `#/projects/${encodeURIComponent(slug)}` }, slug);

export const callHref = (id) => `#/calls/${encodeURIComponent(id)}`;

// A table that is a list of cards on a narrow screen. The roles stay when it is laid out anew.
// `columns`: [heading, class]; `rows`: { key, cells }. Cells that are `null` or 0 have nothing to say.
export function table(label, columns, rows) {
  const heads = columns.map(([text, kind]) => (
    h('th', { role: 'columnheader', scope: 'col', class: kind }, text)
  ));
  const line = ({ key, cells }) => h(
    'tr',
    { role: 'row', 'data-key': key },
    cells.map((cell, at) => {
      const [label, kind] = columns[at];
      const isBlank = cell === null || cell === undefined || cell === 0;
      return h(
        'td',
        { role: 'cell', class: isBlank ? `${kind} blank` : kind, 'data-label': label },
        h('div', {}, isBlank ? cell ?? '–' : cell),
      );
    }),
  );
  return h(
    'table',
    { role: 'table', 'aria-label': label },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads)),
    h('tbody', { role: 'rowgroup' }, rows.map(line)),
  );
}

export const empty = (...text) => h('p', { class: 'empty' }, ...text);

// What there is to show of a resource: it, that it is on its way, or why it is not there.
export function shown(resource, show, none = null) {
  const { data, error } = resource;
  const failed = error && h('p', { class: 'failed', role: 'alert' }, error.message);
  if (data === null) {
    return failed ? [failed] : [h('p', { class: 'empty', 'aria-busy': 'true' }, 'Loading…')];
  }
  const isEmpty = none !== null && data.items?.length === 0;
  return [failed, isEmpty ? empty(none) : show(data)];
}

export const moreButton = (list) => (
  list.data?.next ? h('button', { 'data-action': 'more', class: 'quiet' }, 'More') : null
);

// The steps of a call in the order in which they come.
const STEPS = [
  ['assigned', 'Assigned'],
  ['joined', 'Joined the room'],
  ['configured', 'Configured'],
  ['model_ready', 'Model ready'],
  ['answered', 'Phone answered'],
  ['active', 'Call active'],
  ['first_sound', 'First sound'],
];

// A dot for each step, filled where it was reached.
export function progress(call) {
  const reached = new Map(call.timeline.map((step) => [step.step, step]));
  const last = STEPS.findLast(([name]) => reached.has(name)) ?? STEPS[0];
  return h(
    'ol',
    { class: 'progress', 'aria-label': `Reached: ${last[1]}` },
    STEPS.map(([name, label]) => {
      const step = reached.get(name);
      const title = step ? `${label} at ${duration(step.at_ms)}` : `${label}: not yet`;
      return h('li', { class: step && 'reached', title });
    }),
  );
}

// How long each step took. The bar of a step runs from the one before it.
export function timeline(call) {
  const reached = new Map(call.timeline.map((step) => [step.step, step.at_ms]));
  const span = Math.max(1, ...STEPS.map(([name]) => reached.get(name) ?? 0));
  const percent = (ms) => `${(100 * ms) / span}%`;
  const before = (ms) => Math.max(0, ...[...reached.values()].filter((at) => at < ms));
  const rows = STEPS.map(([name, label]) => {
    const at = reached.get(name);
    const has = at !== undefined;
    const from = has ? before(at) : 0;
    return h(
      'li',
      { class: has ? 'reached' : null },
      h('span', { class: 'name' }, label),
      svg(
        'svg',
        { class: 'bar', 'aria-hidden': 'true' },
        has && svg('rect', { x: percent(from), width: percent(at - from), y: '30%', height: '40%', rx: 3 }),
        has && svg('circle', { cx: percent(at), cy: '50%', r: 4 }),
      ),
      h('span', { class: 'at' }, has ? duration(at) : h('span', { title: call.is_live ? 'not yet' : 'not reached' }, '–')),
    );
  });
  const ended = reached.get('ended');
  return h(
    'ol',
    { class: 'timeline' },
    rows,
    ended !== undefined && h(
      'li',
      { class: 'reached end' },
      h('span', { class: 'name' }, 'Ended'),
      h('span', { class: 'bar' }),
      h('span', { class: 'at' }, duration(ended)),
    ),
  );
}

// A live call in a few lines.
export function card(call, { project = true } = {}) {
  return h(
    'li',
    { 'data-key': call.id, class: 'card' },
    h(
      'a',
      { href: callHref(call.id), 'data-row': true },
      h('span', { class: 'who' }, parties(call)),
      callPill(call),
    ),
    h(
      'p',
      { class: 'detail' },
      project && [call.tenant, ' · '],
      h('span', { class: 'number' }, age(since(call.started_at))),
      ` · ${call.replies ?? 0} ${call.replies === 1 ? 'reply' : 'replies'}`,
    ),
    progress(call),
  );
}

export function cards(calls, none, options) {
  if (calls.length === 0) return empty(none);
  return h('ul', { class: 'cards' }, calls.map((call) => card(call, options)));
}

// Calls that are over.
export function callTable(label, calls, { project = true } = {}) {
  const columns = [
    ['Call', 'main'], project && ['Project', ''], ['Ended', ''], ['Started', ''], ['Lasted', 'number'],
  ].filter(Boolean);
  return table(label, columns, calls.map((call) => {
    const ended = call.timeline.find((step) => step.step === 'ended');
    return {
      key: call.id,
      cells: [
        h('a', { href: callHref(call.id), 'data-row': true }, parties(call)),
        project && [call.tenant ? projectLink(call.tenant) : 'removed'],
        callPill(call),
        when(call.started_at),
        ended ? duration(ended.at_ms) : null,
      ].filter((cell) => cell !== false),
    };
  }));
}

// Those that are in the records, and before them those that ended a moment ago.
export function withEnded(records, ended) {
  const known = new Set(records.map((call) => call.id));
  return [...ended.filter((call) => !known.has(call.id)), ...records];
}

// What a project does on each replica, a line each.
export function stateLines(workers) {
  return workers.map((worker) => h(
    'div',
    { class: 'state', 'data-key': `${worker.replica} ${worker.instance}` },
    statePill(worker.state),
    h('span', { class: 'detail', title: `since ${moment(worker.since)}` }, rough(since(worker.since))),
    workers.length > 1 && h('span', { class: 'detail' }, worker.replica),
  ));
}

export const refusals = (worker) => (
  Object.values(worker.refused_offers ?? {}).reduce((sum, count) => sum + count, 0)
);

export function facts(pairs) {
  return h('dl', { class: 'facts' }, pairs.map(([name, value]) => (
    value === null || value === undefined || value === ''
      ? null
      : h('div', {}, h('dt', {}, name), h('dd', {}, value))
  )));
}
