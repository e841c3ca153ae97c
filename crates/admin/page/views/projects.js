// All projects, and beside them the calls under way.

import { h } from '../dom.js';
import { isTrouble, words } from '../format.js';
import { cards, empty, moreButton, pill, refusals, stateLines, table } from '../parts.js';

// Rows that are shown at once. More make the page slow, and nobody reads them.
const ROWS = 200;

const FILTERS = {
  all: ['All', () => true],
  trouble: ['In trouble', (project) => project.workers.some(isTrouble)],
  calls: ['With calls', (project) => project.calls > 0],
  off: ['Switched off', (project) => project.workers.every(({ state }) => state === 'disabled')],
};

// What of a project's load is on this replica: a bar of the calls that it has among all.
function callsCell(project, all) {
  if (project.calls === 0) return 0;
  return [
    h('span', { class: 'number' }, project.calls),
    h('meter', {
      min: 0, max: Math.max(all, 1), value: project.calls, title: `${project.calls} of ${all} calls here`,
      'aria-label': 'share of the calls here',
    }),
  ];
}

export function projectRows(projects, all) {
  return table(
    'Projects',
    [['Project', 'main'], ['State', 'line'], ['Calls', 'line'], ['Refused', 'number'], ['What is wrong', 'wide']],
    projects.map((project) => ({
      key: project.id,
      cells: [
        h('a', { href: `#/projects/${encodeURIComponent(project.slug)}`, 'data-row': true }, project.slug),
        stateLines(project.workers),
        callsCell(project, all),
        project.refused,
        project.reasons.length ? project.reasons.join('; ') : null,
      ],
    })),
  );
}

// Projects out of what each replica says of them.
export function gather(workers) {
  const projects = new Map();
  for (const worker of workers) {
    const known = projects.get(worker.tenant_id);
    if (known) known.workers.push(worker);
    else projects.set(worker.tenant_id, { id: worker.tenant_id, slug: worker.tenant, workers: [worker] });
  }
  const list = [...projects.values()];
  for (const project of list) {
    project.calls = project.workers.reduce((sum, { active_calls: calls }) => sum + (calls ?? 0), 0);
    project.refused = project.workers.reduce((sum, worker) => sum + refusals(worker), 0);
    project.reasons = [...new Set(project.workers.map(({ reason }) => reason).filter(Boolean))];
  }
  return list.sort((one, other) => (one.slug < other.slug ? -1 : 1));
}

function summary(projects, calls, replica) {
  const counted = new Map();
  for (const project of projects) {
    for (const state of new Set(project.workers.map((worker) => worker.state))) {
      counted.set(state, (counted.get(state) ?? 0) + 1);
    }
  }
  const figure = (value, name) => h('div', { class: 'figure' }, h('b', {}, value), h('span', {}, name));
  const phase = replica && replica.phase !== 'running' ? pill('wait', replica.phase) : null;
  return h(
    'div',
    { class: 'summary' },
    figure(projects.length, projects.length === 1 ? 'project' : 'projects'),
    [...counted].sort().map(([state, count]) => figure(count, words(state))),
    figure(calls, calls === 1 ? 'live call' : 'live calls'),
    replica && h(
      'div',
      { class: 'figure replica' },
      h('b', {}, replica.name, phase),
      h('span', {}, `trunkline ${replica.version}`),
    ),
  );
}

export function projectsView(app) {
  let filter = 'all';
  let rows = ROWS;
  return {
    title: 'Projects',
    on(action, name) {
      if (action === 'filter') filter = name;
      if (action === 'more') rows += ROWS;
    },
    render() {
      const projects = gather(app.workers());
      const calls = [...app.live.calls.values()];
      const wanted = projects.filter(FILTERS[filter][1]);
      const buttons = Object.entries(FILTERS).map(([name, [label, test]]) => h(
        'button',
        {
          'data-action': 'filter', 'data-name': name, 'data-key': name,
          'aria-pressed': String(name === filter), class: 'chip',
        },
        label,
        h('span', { class: 'count' }, projects.filter(test).length),
      ));
      const list = wanted.length
        ? projectRows(wanted.slice(0, rows), calls.length)
        : empty(...nothing(app, projects));
      return [
        h('h1', { class: 'unseen' }, 'Projects'),
        summary(projects, calls.length, app.replica.data),
        h(
          'div',
          { class: 'columns' },
          h(
            'section',
            { 'aria-label': 'Projects' },
            h('div', { class: 'chips', role: 'group', 'aria-label': 'Which projects' }, buttons),
            list,
            moreButton({ data: { next: wanted.length > rows } }),
          ),
          h(
            'section',
            { 'aria-label': 'Live calls' },
            h('h2', {}, 'Live calls'),
            cards(calls, 'No calls at the moment.'),
          ),
        ),
      ];
    },
  };
}

function nothing(app, projects) {
  if (projects.length > 0) return ['No project is like that.'];
  if (app.live.link.state !== 'live') return ['Loading…'];
  return [
    'There are no projects yet. Add one with ',
    h('code', {}, 'trunkline tenant add'),
    '.',
  ];
}
