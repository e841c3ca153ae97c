// Something that is asked of the API, kept while it is asked again, and asked again when it failed.

const RETRY_MS = 5_000;

export class Resource {
  data = null;
  error = null;
  isLoading = false;

  #load;
  #changed;
  #timer = null;
  #again = false;
  #isOver = false;

  // `load()` gives the data; `changed()` is called whenever there is something new to show.
  constructor(load, changed) {
    this.#load = load;
    this.#changed = changed;
    this.refresh();
  }

  // One request at a time: asked for meanwhile, it is asked once more behind it.
  async refresh() {
    clearTimeout(this.#timer);
    if (this.isLoading) {
      this.#again = true;
      return;
    }
    this.isLoading = true;
    try {
      this.data = await this.#load(this.data);
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.isLoading = false;
    if (this.#isOver) return;
    // Wrong questions stay wrong; a record may yet come.
    const isFinal = [400, 401, 403, 422].includes(this.error?.status);
    if (this.#again) this.refresh();
    else if (this.error && !isFinal) {
      const wait = Math.max(RETRY_MS, (this.error.retryAfterS ?? 0) * 1000);
      this.#timer = setTimeout(() => this.refresh(), wait);
    }
    this.#again = false;
    this.#changed();
  }

  // Soon, once for everything that happens until then.
  refreshIn(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), ms);
  }

  stop() {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }
}

// A list whose pages are read one after the other.
export class List extends Resource {
  constructor(api, address, changed) {
    // The first page anew; what was read behind it stays.
    super(async (known) => {
      const page = await api.get(address({}));
      if (!known?.isLong) return page;
      const fresh = new Set(page.items.map((item) => item.id));
      const rest = known.items.filter((item) => !fresh.has(item.id));
      return { ...known, items: [...page.items, ...rest] };
    }, changed);
    this.api = api;
    this.address = address;
    this.changed = changed;
  }

  async more() {
    const page = await this.api.get(this.address({ cursor: this.data.next }));
    const known = new Set(this.data.items.map((item) => item.id));
    const fresh = page.items.filter((item) => !known.has(item.id));
    this.data = { items: [...this.data.items, ...fresh], next: page.next, isLong: true };
    this.changed();
  }
}
