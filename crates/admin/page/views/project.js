// One project: its states, calls, settings and history.

import { query } from '../api.js';
import { h } from '../dom.js';
import { duration, words } from '../format.js';
import {
  callTable, cards, empty, facts, moreButton, pill, refusals, shown, statePill, table, when, withEnded,
} from '../parts.js';
import { List, Resource } from '../resource.js';
import { RECORD_MS } from './calls.js';

export function projectView(app, slug) {
  const path = `/v1/tenants/${encodeURIComponent(slug)}`;
  const tenant = new Resource(() => app.api.get(path), app.changed);
  const past = new List(app.api, (page) => query('/v1/calls', { tenant: slug, limit: '20', ...page }), app.changed);
  const history = new Resource(() => app.api.get(`${path}/history?limit=20`), app.changed);
  const isOurs = (item) => item.tenant === slug;
  let isTesting = false;
  let report = null;

  async function test() {
    if (isTesting) return;
    isTesting = true;
    app.changed();
    try {
      report = await app.api.post(`${path}/test`);
    } finally {
      isTesting = false;
    }
  }

  async function toggle() {
    const isOn = tenant.data.enabled;
    const isSure = await app.confirm({
      title: isOn ? `Disable ${slug}?` : `Enable ${slug}?`,
      text: isOn
        ? 'No replica takes another call for it. Calls under way go on.'
        : 'Every replica registers it again, and takes calls for it.',
      yes: isOn ? 'Disable' : 'Enable',
    });
    if (!isSure) return;
    const done = isOn ? `${slug} is disabled.` : `${slug} is enabled.`;
    if (await app.act(`${path}/${isOn ? 'disable' : 'enable'}`, done)) {
      tenant.refresh();
      history.refresh();
    }
  }

  return {
    title: slug,
    on(action) {
      if (action === 'toggle') return toggle();
      if (action === 'test') return test();
      if (action === 'more') return past.more();
      return undefined;
    },
    news(name, data) {
      if (name === 'tenant' && isOurs(data)) {
        tenant.refresh();
        history.refresh();
      }
      if (name === 'call_ended' && isOurs(data.call)) past.refreshIn(RECORD_MS);
    },
    stop() {
      for (const resource of [tenant, past, history]) resource.stop();
    },
    render() {
      const workers = app.workers().filter(isOurs);
      const live = [...app.live.calls.values()].filter(isOurs);
      const ended = app.live.ended.filter(isOurs);
      const { data } = tenant;
      const label = data?.enabled ? 'Disable' : 'Enable';
      return [
        h(
          'div',
          { class: 'heading' },
          h('h1', {}, slug),
          data && !data.enabled && pill('idle', 'disabled'),
          data && app.canOperate() && h(
            'button',
            { 'data-action': 'test', disabled: isTesting, 'aria-busy': isTesting ? 'true' : null },
            isTesting ? 'Testing…' : 'Test',
          ),
          data && app.canOperate() && h(
            'button',
            { 'data-action': 'toggle', class: data.enabled ? 'danger' : null },
            label,
          ),
        ),
        data?.problem && h('p', { class: 'failed', role: 'alert' }, `It cannot be run: ${data.problem}`),
        report && section(`Test of version ${report.version}`, checks(report)),
        section('Replicas', workers.length ? replicas(workers) : empty('No replica runs it.')),
        h(
          'div',
          { class: 'columns even' },
          h(
            'div',
            {},
            section(load(live.length, data), cards(live, 'No calls at the moment.', { project: false })),
            section(
              'Calls that are over',
              shown(past, ({ items }) => {
                const calls = withEnded(items, ended);
                return calls.length
                  ? callTable('Calls that are over', calls, { project: false })
                  : empty('None yet.');
              }),
              moreButton(past),
            ),
          ),
          h(
            'div',
            {},
            section('Settings', shown(tenant, settings)),
            section('History', shown(history, ({ items }) => changes(items), 'No changes are known.')),
          ),
        ),
      ];
    },
  };
}

const section = (title, ...content) => (
  h('section', { 'aria-label': String(title) }, h('h2', {}, title), content)
);

const load = (calls, tenant) => (
  tenant?.max_calls ? `Live calls: ${calls} of ${tenant.max_calls} here` : 'Live calls'
);

function replicas(workers) {
  return table(
    'Replicas',
    [['Replica', 'main'], ['State', ''], ['Since', ''], ['Version', 'number'], ['Calls', 'number'],
      ['Refused', ''], ['Crashes', 'number'], ['What is wrong', 'wide']],
    workers.map((worker) => ({
      key: `${worker.replica} ${worker.instance}`,
      cells: [
        [worker.replica, worker.is_here && h('span', { class: 'detail' }, ' (this one)')],
        statePill(worker.state),
        when(worker.since),
        worker.version,
        worker.active_calls,
        refusals(worker)
          ? Object.entries(worker.refused_offers).map(([why, count]) => `${count} ${words(why)}`).join(', ')
          : null,
        worker.restarts,
        worker.reason,
      ],
    })),
  );
}

const TONES = { ok: 'good', warning: 'wait', failed: 'bad' };

function checks(report) {
  return table(
    'What the test found',
    [['Check', 'main name'], ['Result', ''], ['Found', 'wide'], ['What to do', 'wide'], ['Took', 'number']],
    report.checks.map((check) => ({
      key: `check-${check.name}`,
      cells: [
        check.name,
        pill(TONES[check.status] ?? 'idle', words(check.status)),
        check.detail,
        check.remedy,
        duration(check.took_ms),
      ],
    })),
  );
}

const secret = ({ set }) => (set ? 'set' : 'not set');

function settings(tenant) {
  return [
    facts([
      ['LiveKit', h('code', {}, tenant.livekit_url)],
      ['API key', h('code', {}, tenant.livekit_api_key)],
      ['API secret', secret(tenant.livekit_api_secret)],
      ['Agent names', tenant.agent_names.join(', ')],
      ['Deployment', tenant.deployment],
      ['Configuration from', tenant.call_config_url && h('code', {}, tenant.call_config_url)],
      ['Its bearer', secret(tenant.call_config_bearer)],
      ['Its signing secret', secret(tenant.call_config_signing_secret)],
      ['Its deadline', `${tenant.call_config_deadline_ms} ms`],
      ['Answer within', `${tenant.answer_deadline_ms} ms`],
      ['Model wire', tenant.provider],
      ['Model at', tenant.provider_base_url && h('code', {}, tenant.provider_base_url)],
      ['Model key', secret(tenant.provider_api_key)],
      ['Second model', tenant.fallback_provider
        && [tenant.fallback_provider, tenant.fallback_model].filter(Boolean).join(', ')],
      ['Second model at', tenant.fallback_provider_base_url
        && h('code', {}, tenant.fallback_provider_base_url)],
      ['Second model voice', tenant.fallback_voice],
      ['Second model key', tenant.fallback_provider && secret(tenant.fallback_provider_api_key)],
      ['Passed on to', tenant.fallback_transfer_to],
      ['Apology', tenant.apology_audio_bytes
        ? `its own, ${Math.ceil(tenant.apology_audio_bytes / 1024)} KiB` : 'the built-in one'],
      ['Calls at once', tenant.max_calls ?? 'as many as the process takes'],
      ['Calls per second', tenant.calls_per_second ?? 'as many as come'],
      ['Longest call', tenant.max_call_minutes ? `${tenant.max_call_minutes} min` : 'no limit'],
      ['Version', `${tenant.version}`],
      ['Changed', when(tenant.updated_at)],
    ]),
    h(
      'details',
      {},
      h('summary', {}, 'Default configuration'),
      h('pre', { tabindex: '0' }, JSON.stringify(tenant.default_config, null, 2)),
    ),
  ];
}

function changes(items) {
  return h('ol', { class: 'history' }, items.map((change) => h(
    'li',
    { 'data-key': `change-${change.id}` },
    h('p', {}, h('b', {}, words(change.operation)), ` by ${change.actor}`),
    h('p', { class: 'detail' }, when(change.at), ` · version ${change.version}`),
    h('p', { class: 'detail' }, Object.keys(change.changes ?? {}).map(words).join(', ')),
  )));
}
