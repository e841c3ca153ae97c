// Projects and calls that hold a text.

import { query } from '../api.js';
import { h } from '../dom.js';
import { parties } from '../format.js';
import { callTable, cards, empty, shown } from '../parts.js';
import { Resource } from '../resource.js';
import { gather, projectRows } from './projects.js';

const MOST = 50;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const NUMBER = /^\+?[0-9 ()./-]{5,24}$/;
const OUTCOME = /^[a-z]+(_[a-z]+)+$/;

const within = (text, ...values) => (
  values.some((value) => typeof value === 'string' && value.toLowerCase().includes(text))
);

// What of the records can match: the call of an id, those of a caller, an outcome or a project.
async function past(app, text) {
  if (UUID.test(text)) {
    const found = await app.api.get(`/v1/calls/${text}`).catch(unlessMissing);
    return { items: found && !found.is_live ? [found] : [] };
  }
  const asked = [];
  if (NUMBER.test(text)) asked.push({ caller: text.replace(/[ ()./-]/g, '') });
  const outcome = text.replaceAll(' ', '_');
  if (OUTCOME.test(outcome)) asked.push({ outcome });
  const slugs = (await app.api.get(query('/v1/tenants', { q: text, limit: '5' }))).items.map(({ slug }) => slug);
  for (const tenant of slugs) asked.push({ tenant });
  const pages = await Promise.all(asked.map((parameters) => (
    app.api.get(query('/v1/calls', { ...parameters, limit: '20' })).catch(unlessMissing)
  )));
  const calls = new Map(pages.flatMap((page) => page?.items ?? []).map((call) => [call.id, call]));
  return { items: [...calls.values()].sort((one, other) => (one.started_at < other.started_at ? 1 : -1)) };
}

function unlessMissing(problem) {
  if (problem.status === 404) return null;
  throw problem;
}

export function searchView(app, asked) {
  const text = asked.trim().toLowerCase();
  const records = new Resource(async () => (text ? past(app, text) : { items: [] }), app.changed);
  return {
    title: 'Search',
    stop: () => records.stop(),
    render() {
      const projects = gather(app.workers())
        .filter(({ slug, workers, reasons }) => (
          within(text, slug, ...reasons, ...workers.map(({ state }) => state.replaceAll('_', ' ')))
        ))
        .slice(0, MOST);
      const all = [...app.live.calls.values()];
      const calls = all.filter((call) => (
        within(text, call.tenant, parties(call), call.room, call.job_id, call.id, call.step)
      ));
      if (!text) return [h('h1', {}, 'Search'), empty('Type a project, a number, an outcome or an id.')];
      return [
        h('h1', {}, `“${asked.trim()}”`),
        h('h2', {}, 'Projects'),
        projects.length ? projectRows(projects, all.length) : empty('No project.'),
        h('h2', {}, 'Live calls'),
        cards(calls.slice(0, MOST), 'No live call.'),
        h('h2', {}, 'Calls that are over'),
        shown(records, ({ items }) => callTable('Calls that are over', items), 'No call.'),
      ];
    },
  };
}
