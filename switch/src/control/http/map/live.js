// What the node tells: one stream of events, and answers to questions. Both have the token where one is needed.
//
// The token is in the storage of this tab and in the header of each request: no cookie, which another port of the same host
// would get as well, and no part of an address, which browsers and proxies write down.

const KEPT = "weft.token";
/** Without an octet for so long the stream is given up: comments come each 15 s. */
const SILENCE_MS = 40_000;
/** A tab that nobody looks at leaves its stream to others after this. */
const HIDDEN_MS = 30_000;

/** A link to the map may bring the token behind the #, which is sent to nobody. */
function takeFromAddress() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  try {
    sessionStorage.setItem(KEPT, decodeURIComponent(found[1]));
  } catch {
    // No token then: the page asks.
  }
  history.replaceState(null, "", location.pathname);
}

/** What is no token of any node is not sent, which a browser may refuse to do: the node then says that it has none. */
function headers() {
  const token = sessionStorage.getItem(KEPT);
  return token !== null && /^[!-~]+$/.test(token) ? { Authorization: `Bearer ${token}` } : {};
}

export class Live {
  /** `on`: what to do with a `snapshot`, `changes`, `trouble`, a `state` of the stream, and how to `ask` for a token. */
  constructor(on) {
    this.on = on;
    this.running = null;
    takeFromAddress();
  }

  /** Reads the stream for as long as the page is there. */
  async run() {
    let delay = 500;
    this.watchTab();
    for (;;) {
      let told = "the connection ended";
      try {
        this.running = new AbortController();
        const response = await fetch("api/v1/events", { headers: headers(), cache: "no-store", signal: this.running.signal });
        if (response.status === 401) {
          await this.askToken();
          continue;
        }
        if (!response.ok) throw new Error((await response.text()).trim());
        this.on.state(true);
        delay = 500;
        await this.read(response.body.getReader());
      } catch (error) {
        if (error.name !== "AbortError" && error.name !== "TypeError") told = error.message;
      }
      this.on.state(false, told);
      await this.visible();
      await new Promise((resolve) => setTimeout(resolve, delay));
      delay = Math.min(delay * 2, 10_000);
    }
  }

  /** Takes events off the stream until it ends. */
  async read(reader) {
    const decoder = new TextDecoder();
    let pieces = [];
    let last = "";
    for (;;) {
      const timer = setTimeout(() => this.running.abort(), SILENCE_MS);
      const { value, done } = await reader.read();
      clearTimeout(timer);
      if (done) return;
      let text = decoder.decode(value, { stream: true });
      // Only what is new is searched: a snapshot comes in many pieces.
      for (;;) {
        const across = last === "\n" && text[0] === "\n";
        const end = across ? 0 : text.indexOf("\n\n");
        if (end < 0) break;
        this.handle(pieces.join("") + text.slice(0, end));
        pieces = [];
        last = "";
        text = text.slice(end + (across ? 1 : 2));
      }
      if (text) {
        pieces.push(text);
        last = text[text.length - 1];
      }
    }
  }

  /** One event; a comment is none. */
  handle(text) {
    const told = {};
    for (const line of text.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) told[line.slice(0, colon)] = line.slice(colon + 2);
    }
    if (told.data !== undefined) this.on[told.event]?.(told.data);
  }

  /** The answer to a question, as JSON. */
  async ask(path) {
    const response = await fetch(`api/v1/${path}`, { headers: headers(), cache: "no-store" });
    const text = await response.text();
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      answer = { message: text.trim() };
    }
    if (!response.ok) throw new Error(answer.message);
    return answer;
  }

  async askToken() {
    const wrong = sessionStorage.getItem(KEPT) !== null;
    sessionStorage.removeItem(KEPT);
    sessionStorage.setItem(KEPT, await this.on.ask(wrong));
  }

  watchTab() {
    let timer;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => this.running?.abort(), HIDDEN_MS);
    });
  }

  /** When somebody looks at the page. */
  visible() {
    if (!document.hidden) return Promise.resolve();
    return new Promise((resolve) => {
      document.addEventListener("visibilitychange", () => resolve(), { once: true });
    });
  }
}
