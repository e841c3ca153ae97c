// Has a participant in a browser's page (page.mjs) do what it is told.
//
//   node browser.mjs CHROMIUM NODE_MODULES
//
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { obey } from './lines.mjs';

const [, , chromium, packages] = process.argv;
const here = dirname(fileURLToPath(import.meta.url));

const PAGE = { '/': ['text/html', '<!doctype html>'] };
for (const script of [
  join(here, 'page.mjs'),
  join(here, 'peer.mjs'),
  join(packages, 'livekit-client/dist/livekit-client.esm.mjs'),
  join(packages, 'livekit-client/dist/livekit-client.e2ee.worker.mjs'),
]) {
  PAGE[`/${basename(script)}`] = ['text/javascript', await readFile(script)];
}

// A server, for only what comes from one may use workers and cryptography.
async function serve() {
  const server = createServer((request, response) => {
    const [type, body] = PAGE[request.url] ?? [];
    response.writeHead(type ? 200 : 404, { 'content-type': type ?? 'text/plain' }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

// A browser that is told what to do by the DevTools protocol over a pipe: objects that end with a
// zero byte.
class Browser {
  #process;
  #asked = new Map();
  #number = 0;

  static async start(profile) {
    const browser = new Browser(profile);
    await once(browser.#process, 'spawn');
    return browser;
  }

  constructor(profile) {
    const options = [
      '--headless',
      '--remote-debugging-pipe',
      `--user-data-dir=${profile}`,
      '--autoplay-policy=no-user-gesture-required',
      // The server may have no address but this machine's loopback.
      '--allow-loopback-in-peer-connection',
    ];
    // As root, Chromium does not start with its sandbox.
    if (process.getuid() === 0) options.push('--no-sandbox');
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'];
    this.#process = spawn(chromium, options, { stdio });
    this.#read(this.#process.stdio[4]);
  }

  async #read(pipe) {
    let rest = '';
    for await (const piece of pipe.setEncoding('utf8')) {
      const messages = (rest + piece).split('\0');
      rest = messages.pop();
      for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
        const { resolve, reject } = this.#asked.get(id) ?? {};
        this.#asked.delete(id);
        if (error) reject?.(new Error(error.message));
        else resolve?.(result);
      }
    }
    for (const { reject } of this.#asked.values()) reject(new Error('the browser has ended'));
  }

  ask(method, params = {}, sessionId = undefined) {
    const id = (this.#number += 1);
    this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }

  async end() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit');
      this.#process.kill();
      await ended;
    }
  }

  // Opens a page; gives what evaluates expressions in it.
  async open(url) {
    const { targetId } = await this.ask('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.ask('Target.attachToTarget', { targetId, flatten: true });
    // Answered when the page is the new one.
    await this.ask('Page.navigate', { url }, sessionId);
    return async (expression) => {
      const options = { expression, awaitPromise: true, returnByValue: true };
      const answer = await this.ask('Runtime.evaluate', options, sessionId);
      const { result, exceptionDetails } = answer;
      if (exceptionDetails) throw new Error(exceptionDetails.exception.description);
      return result.value;
    };
  }
}

const { server, url } = await serve();
const profile = await mkdtemp(join(tmpdir(), 'trunkline-browser-'));
try {
  const browser = await Browser.start(profile);
  try {
    const evaluate = await browser.open(url);
    await evaluate(`import('/page.mjs').then(() => {})`);
    await obey((method, parameters) => evaluate(`peer.${method}(${JSON.stringify(parameters)})`));
    await evaluate('peer.leave()');
  } finally {
    await browser.end();
  }
} finally {
  server.close();
  server.closeAllConnections();
  // Chromium's own processes end a little later than it does.
  await rm(profile, { recursive: true, maxRetries: 10 });
}
