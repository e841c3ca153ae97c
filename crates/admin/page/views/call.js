// One call.

import { h } from '../dom.js';
import { age, parties, since, words } from '../format.js';
import { callPill, facts, projectLink, shown, timeline, when } from '../parts.js';
import { Resource } from '../resource.js';
import { RECORD_MS } from './calls.js';

export function callView(app, id) {
  const record = new Resource(() => app.api.get(`/v1/calls/${encodeURIComponent(id)}`), app.changed);
  // The events know more of a live call than what was asked for before them; of one that has
  // just ended, until its record is there.
  const latest = () => {
    const known = app.live.calls.get(id);
    const ended = app.live.ended.find((call) => call.id === id);
    if (record.data && !record.data.is_live) return record.data;
    return known ?? ended ?? record.data;
  };
  return {
    title: 'Call',
    async on(action) {
      if (action !== 'hang-up') return;
      const call = latest();
      const isSure = await app.confirm({
        title: 'Hang up on this call?',
        text: `${parties(call)} of ${call.tenant}. What is being said is finished, for 3 seconds at the most.`,
        yes: 'Hang up',
      });
      if (isSure) await app.act(`/v1/calls/${encodeURIComponent(id)}/hang-up`, 'The call is ending.');
    },
    news(name, data) {
      if (name === 'call_ended' && data.call.id === id) record.refreshIn(RECORD_MS);
    },
    stop: () => record.stop(),
    render() {
      const call = latest();
      const source = call ? { data: call, error: call === record.data ? record.error : null } : record;
      const canHangUp = call?.is_live && app.canOperate() && app.live.calls.has(id);
      return [
        h(
          'div',
          { class: 'heading' },
          h('h1', {}, call ? parties(call) : 'Call'),
          call && callPill(call),
          canHangUp && h('button', { 'data-action': 'hang-up', class: 'danger' }, 'Hang up'),
        ),
        shown(source, show),
      ];
    },
  };
}

function show(call) {
  return h(
    'div',
    { class: 'columns even' },
    h('section', { 'aria-label': 'Timeline' }, h('h2', {}, 'Timeline'), timeline(call)),
    h(
      'section',
      { 'aria-label': 'About the call' },
      h('h2', {}, 'About'),
      facts([
        ['Project', call.tenant ? projectLink(call.tenant) : 'removed'],
        ['Started', when(call.started_at)],
        call.is_live ? ['Age', h('span', { class: 'number' }, age(since(call.started_at)))] : ['', null],
        call.is_live && call.since ? ['In this step', age(since(call.since))] : ['', null],
        ['Ended', call.outcome && words(call.outcome)],
        ['More on the end', call.detail],
        ['Replies', call.replies],
        ['Direction', call.direction],
        ['Configuration', call.config_source && words(call.config_source)],
        ['Fallback because', call.fallback_reason && words(call.fallback_reason)],
        ['Model', call.model],
        ['Replica', call.replica],
        ['Room', h('code', {}, call.room)],
        ['Job', h('code', {}, call.job_id)],
        ['SIP call', call.sip_call_id && h('code', {}, call.sip_call_id)],
        ['SIP trunk', call.trunk_id && h('code', {}, call.trunk_id)],
        ['Call', h('code', {}, call.id)],
      ]),
    ),
  );
}
