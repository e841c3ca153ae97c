// What there is on this replica now, kept up to date by the API's events.

import { events } from './stream.js';

// Between two attempts to connect: the first, and the longest.
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

// The API gives a sign of life every 15 s. Two that are missing: the connection is dead.
const SILENCE_LIMIT_MS = 40_000;

// A connection that held so long was a good one, and is made again at once.
const HELD_MS = 10_000;

// After a new connection everything is told again. What is not told by then is gone.
const TELLING_MS = 3_000;

// Calls that have ended and are remembered, until their records are read.
const MAX_ENDED = 50;

export class Live {
  // By the tenant's id.
  workers = new Map();
  // By the call's id.
  calls = new Map();
  // Those that ended while we looked, the last one first.
  ended = [];
  // state: connecting, live, waiting (until when, and why) or over.
  link = { state: 'connecting' };

  #api;
  #changed;
  #round = 0;
  #abort = null;
  #wake = null;

  // `changed(name, data)` is called with every piece of news; without a name when the link changed.
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  async run() {
    let failures = 0;
    while (this.link.state !== 'over') {
      const begun = Date.now();
      const problem = await this.#listen();
      if (this.link.state === 'over') return;
      if (this.link.state === 'live' && Date.now() - begun > HELD_MS) {
        failures = 0;
        // The API ends each connection after a quarter of an hour: no failure.
        if (!problem) continue;
      }
      const nominal = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
      const wait = Math.max(nominal * (0.5 + Math.random() / 2), (problem?.retryAfterS ?? 0) * 1000);
      failures += 1;
      await this.#pause(wait, problem?.message ?? 'The API closed the connection');
    }
  }

  // Tries again now.
  retry() {
    this.#wake?.();
  }

  stop() {
    this.link = { state: 'over' };
    this.#abort?.abort();
    this.#wake?.();
  }

  #say(link) {
    if (this.link.state === 'over') return;
    this.link = link;
    this.#changed();
  }

  #pause(ms, why) {
    this.#say({ state: 'waiting', until: Date.now() + ms, why });
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  async #listen() {
    this.#abort = new AbortController();
    let silence;
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(() => this.#abort.abort(), SILENCE_LIMIT_MS);
    };
    let sweep;
    try {
      alive();
      const response = await this.#api.open('/v1/events', this.#abort.signal);
      this.#round += 1;
      this.#say({ state: 'live' });
      sweep = setTimeout(() => this.#sweep(), TELLING_MS);
      for await (const news of events(response)) {
        alive();
        if (news) this.#take(news.name, news.data);
      }
      return null;
    } catch (error) {
      return error.status === undefined ? { message: 'The connection to the API broke' } : error;
    } finally {
      clearTimeout(silence);
      clearTimeout(sweep);
    }
  }

  #take(name, data) {
    switch (name) {
      case 'worker':
        this.workers.set(data.tenant_id, { ...data, round: this.#round });
        break;
      case 'tenant_gone':
        this.workers.delete(data.tenant_id);
        break;
      case 'call':
        this.calls.set(data.id, { ...data, round: this.#round });
        break;
      case 'call_ended':
        this.calls.delete(data.call.id);
        this.ended.unshift({
          ...data.call, is_live: false, step: 'over', outcome: data.outcome, since: new Date().toISOString(),
        });
        this.ended.length = Math.min(this.ended.length, MAX_ENDED);
        break;
      case 'reset':
        this.#round += 1;
        setTimeout(() => this.#sweep(), TELLING_MS);
        break;
      default:
    }
    this.#changed(name, data);
  }

  #sweep() {
    if (this.link.state !== 'live') return;
    for (const known of [this.workers, this.calls]) {
      for (const [id, entry] of known) if (entry.round !== this.#round) known.delete(id);
    }
    this.#changed();
  }
}
