// Times, durations and states for people.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const two = (number) => String(number).padStart(2, '0');

// How long: 840 ms, 3.25 s, 4 min 05 s, 3 h 20 min, 12 d.
export function duration(ms) {
  if (ms < SECOND) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10 * SECOND) return `${(Math.floor(ms / 10) / 100).toFixed(2)} s`;
  return age(ms);
}

// The same to the second, for what is counted up.
export function age(ms) {
  const past = Math.max(0, ms);
  if (past < MINUTE) return `${Math.floor(past / SECOND)} s`;
  if (past < HOUR) {
    return `${Math.floor(past / MINUTE)} min ${two(Math.floor((past % MINUTE) / SECOND))} s`;
  }
  if (past < 2 * DAY) {
    return `${Math.floor(past / HOUR)} h ${two(Math.floor((past % HOUR) / MINUTE))} min`;
  }
  return `${Math.floor(past / DAY)} d`;
}

// The same, as rough as one word.
export function rough(ms) {
  const past = Math.max(0, ms);
  if (past < MINUTE) return `${Math.floor(past / SECOND)} s`;
  if (past < HOUR) return `${Math.floor(past / MINUTE)} min`;
  if (past < 2 * DAY) return `${Math.floor(past / HOUR)} h`;
  return `${Math.floor(past / DAY)} d`;
}

export const since = (time) => Date.now() - Date.parse(time);

// When: the time of today, else the day with it.
export function moment(time) {
  const date = new Date(time);
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === new Date().toDateString()) return clock;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock}`;
}

export const words = (name) => String(name).replaceAll('_', ' ');

// How a state of a project looks: good, wait, bad or idle.
const STATES = {
  registered: 'good',
  starting: 'wait',
  connecting: 'wait',
  restarting: 'wait',
  backing_off: 'wait',
  credentials_refused: 'bad',
  parked: 'bad',
  draining: 'idle',
  disabled: 'idle',
  stopped: 'idle',
  removed: 'idle',
};
export const stateTone = (state) => STATES[state] ?? 'wait';

// What a person may have to look at.
export const isTrouble = (worker) => ['wait', 'bad'].includes(stateTone(worker.state)) || (
  stateTone(worker.state) === 'good' && worker.reason !== null
);

const OUTCOMES = {
  caller_hung_up: 'good',
  agent_hung_up: 'good',
  ended_by_operator: 'idle',
  caller_gave_up: 'idle',
  no_caller: 'idle',
  room_closed: 'wait',
  duration_limit: 'wait',
  cut: 'bad',
  model_failed: 'bad',
  join_failed: 'bad',
  crashed: 'bad',
};
export const OUTCOME_NAMES = Object.keys(OUTCOMES);
export const outcomeTone = (outcome) => OUTCOMES[outcome] ?? 'wait';

export const stepTone = (step) => (step === 'talking' ? 'good' : 'busy');

// Who speaks with whom.
export function parties(call) {
  if (!call.caller && !call.called) return 'no phone side yet';
  return `${call.caller ?? 'withheld'} → ${call.called ?? '?'}`;
}
