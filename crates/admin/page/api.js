// Requests to the API, with the token.

// How long an answer may take. The server's own limit is 30 s.
const LIMIT_MS = 35_000;

// What went wrong. `status` 0: nobody answered.
export class Problem extends Error {
  constructor(status, text, retryAfterS = null) {
    super(text);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }

  static async of(response) {
    const body = await response.json().catch(() => ({}));
    const parts = [body.title, body.detail].filter((part) => typeof part === 'string');
    const text = parts.length ? parts.join(': ') : `The API answered ${response.status}`;
    const retry = Number(response.headers.get('retry-after'));
    return new Problem(response.status, text, retry > 0 ? retry : null);
  }
}

export class Api {
  #token;
  #refused;

  // `refused` is called when the token does not hold any more.
  constructor(token, refused) {
    this.#token = token;
    this.#refused = refused;
  }

  async #send(method, path, signal) {
    const headers = { authorization: `Bearer ${this.#token}` };
    let response;
    try {
      response = await fetch(path, { method, headers, signal, cache: 'no-store' });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Problem(0, 'The API does not answer');
    }
    if (response.ok) return response;
    const problem = await Problem.of(response);
    if (problem.status === 401) this.#refused(problem);
    throw problem;
  }

  async #json(method, path) {
    const response = await this.#send(method, path, AbortSignal.timeout(LIMIT_MS));
    try {
      return await response.json();
    } catch {
      throw new Problem(0, 'The API broke off its answer');
    }
  }

  get(path) {
    return this.#json('GET', path);
  }

  post(path) {
    return this.#json('POST', path);
  }

  // An answer that goes on.
  open(path, signal) {
    return this.#send('GET', path, signal);
  }
}

// A path with a query out of what is given.
export function query(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}
