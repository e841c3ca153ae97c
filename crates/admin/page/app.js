// The status page: who is signed in, which view is shown, and showing it again when there is news.

import { Api, query } from './api.js';
import { banner, bar } from './bar.js';
import { confirm, help, toast } from './dialogs.js';
import { h, patch } from './dom.js';
import * as keyboard from './keyboard.js';
import { Live } from './live.js';
import { Resource } from './resource.js';
import * as session from './session.js';
import { callView } from './views/call.js';
import { callsView } from './views/calls.js';
import { projectView } from './views/project.js';
import { projectsView } from './views/projects.js';
import { searchView } from './views/search.js';
import { signIn } from './views/signin.js';

// News that come together are shown together.
const TOGETHER_MS = 50;
// What counts up is shown again.
const TICK_MS = 1_000;
// How often other replicas' reports are read. They are repeated every 30 s.
const OTHERS_MS = 15_000;
// Pages of 100 of those. Whoever has more looks at one replica at a time.
const OTHERS_PAGES = 20;
// Between two attempts to sign in while the API is away.
const SIGN_IN_MS = 3_000;
// While something is typed, it is not searched for.
const TYPING_MS = 200;

const element = (id) => document.getElementById(id);

// Signed in, it has everything that the views need; else what the form says.
let app = null;
let form = { message: '', isBusy: false };
let view = null;
let shownHash = null;
let attempt = 0;

// --- Showing -----------------------------------------------------------------

let waiting = null;

function changed() {
  waiting ??= setTimeout(() => {
    waiting = null;
    show();
  }, TOGETHER_MS);
}

function show() {
  if (!app) {
    patch(element('bar'));
    patch(element('banner'));
    patch(element('main'), signIn(form));
    document.title = 'trunkline';
    return;
  }
  const [name] = route();
  patch(element('bar'), ...bar(app, name));
  patch(element('banner'), ...banner(app));
  patch(element('main'), h('div', { 'data-key': shownHash }, view.render()));
  document.title = `${view.title} – trunkline`;
}

// --- Which view --------------------------------------------------------------

function route() {
  const [, name, ...rest] = location.hash.split('/');
  let argument = rest.join('/');
  try {
    argument = decodeURIComponent(argument);
  } catch {
    // Not written by us: taken as it is.
  }
  return [name || 'projects', argument];
}

function open() {
  const [name, argument] = route();
  if (name === 'calls') return argument ? callView(app, argument) : callsView(app);
  if (name === 'search') return searchView(app, argument);
  if (name === 'projects' && argument) return projectView(app, argument);
  return projectsView(app);
}

function navigate() {
  if (!app) return;
  view?.stop?.();
  const isFirst = shownHash === null;
  shownHash = location.hash || '#/';
  view = open();
  show();
  const search = element('search');
  const [name, argument] = route();
  if (document.activeElement !== search) {
    search.value = name === 'search' ? argument : '';
    if (!isFirst) element('main').focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

// --- Who is signed in --------------------------------------------------------

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function start(token) {
  attempt += 1;
  const mine = attempt;
  const api = new Api(token, () => leave('The token is not accepted. It may be mistyped, revoked or expired.', api));
  for (;;) {
    form = { message: form.message, isBusy: true };
    show();
    try {
      const me = await api.get('/v1/self');
      if (mine === attempt) enter(token, api, me);
      return;
    } catch (error) {
      if (mine !== attempt || error.status === 401) return;
      form = { message: `${error.message}. Trying again.`, isBusy: true };
      show();
      await pause(Math.max(SIGN_IN_MS, (error.retryAfterS ?? 0) * 1000));
      if (mine !== attempt) return;
    }
  }
}

function enter(token, api, me) {
  session.keep(token);
  form = { message: '', isBusy: false };
  const live = new Live(api, (name, data) => {
    if (name) view?.news?.(name, data);
    else replica.refresh();
    if (live.link.state === 'live') app.lastLive = new Date();
    changed();
  });
  const replica = new Resource(() => api.get('/v1/replica'), changed);
  const others = new Resource(() => elsewhere(api), changed);
  const polling = setInterval(() => others.refresh(), OTHERS_MS);
  app = {
    api, live, me, replica, changed, confirm, act,
    lastLive: null,
    workers: () => [...live.workers.values(), ...(others.data ?? [])],
    canOperate: () => me.scope === 'operator' || me.scope === 'admin',
    stop() {
      clearInterval(polling);
      live.stop();
      replica.stop();
      others.stop();
      view?.stop?.();
      view = null;
      shownHash = null;
    },
  };
  navigate();
  live.run();
}

// What other replicas say. Which of their calls are under way only they know.
async function elsewhere(api) {
  const workers = [];
  let cursor = '';
  for (let page = 0; page < OTHERS_PAGES; page += 1) {
    const { items, next } = await api.get(query('/v1/workers', { here: 'false', limit: '100', cursor }));
    workers.push(...items);
    if (!next) break;
    cursor = next;
  }
  return workers;
}

function leave(message, api = null) {
  // A late answer to somebody who has left before.
  if (api && app && app.api !== api) return;
  attempt += 1;
  session.forget();
  app?.stop();
  app = null;
  form = { message, isBusy: false };
  show();
  element('token').focus();
}

// --- Doing -------------------------------------------------------------------

// Asks the API for a change, and says what became of it.
async function act(path, done) {
  try {
    await app.api.post(path);
    toast(done);
    return true;
  } catch (error) {
    toast(error.message, 'bad');
    return false;
  }
}

const ACTIONS = {
  'sign-out': () => leave(''),
  retry: () => app.live.retry(),
  help,
};

async function perform(action, name, value) {
  if (Object.hasOwn(ACTIONS, action)) ACTIONS[action]();
  else {
    try {
      await view?.on?.(action, name, value);
    } catch (error) {
      toast(error.message, 'bad');
    }
    changed();
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-action]');
  if (button) {
    perform(button.dataset.action, button.dataset.name);
    return;
  }
  // A line is opened wherever it is clicked, unless something in it was, or is being marked.
  if (event.target.closest('a, button, input, select, summary') || String(getSelection())) return;
  event.target.closest('tr, .card')?.querySelector('a[data-row]')?.click();
});

document.addEventListener('change', ({ target }) => {
  if (target.matches('select[data-action]')) perform(target.dataset.action, null, target.value);
});

document.addEventListener('submit', (event) => {
  event.preventDefault();
  const field = element('token');
  const token = field.value.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    form = { message: 'That is no token: it begins with tl_ and has no blanks.', isBusy: false };
    show();
    return;
  }
  field.value = '';
  form.message = '';
  start(token);
});

let typing = null;
document.addEventListener('input', ({ target }) => {
  if (target.id !== 'search') return;
  clearTimeout(typing);
  typing = setTimeout(() => {
    const text = target.value.trim();
    const hash = text ? `#/search/${encodeURIComponent(text)}` : '#/';
    // Every letter in the history would make "back" useless.
    if (location.hash.startsWith('#/search/')) {
      history.replaceState(null, '', hash);
      navigate();
    } else location.hash = hash;
  }, TYPING_MS);
});

window.addEventListener('hashchange', navigate);
setInterval(() => {
  if (app && !document.hidden) show();
}, TICK_MS);

keyboard.listen();
const kept = session.token();
if (kept) start(kept);
else show();
