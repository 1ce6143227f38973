// A client of mdds.v1 in the browser: token, subscriptions, reconnect with resume, books checked by their numbers.
(() => {
  const RETRY_MS_MAX = 15000;
  const SILENT_MS_MAX = 40000; // the server speaks at least every heartbeat (15 s)

  class Stream {
    constructor({ url, tokenUrl, csrf, on }) {
      Object.assign(this, { url, tokenUrl, csrf, on, retryMs: 500, id: 0, heardAt: Date.now() });
      this.wanted = new Map(); // name → {ch, symbols, …, keep}; what is to be followed, whoever serves it
      this.sids = new Map(); // sid → name
      this.asked = new Map(); // id → name
      this.last = new Map(); // "ch s" → [epoch, n]
      setInterval(() => { if (this.socket && Date.now() - this.heardAt > SILENT_MS_MAX) this.socket.close(); }, 1000);
      this.connect();
    }

    async connect() {
      let token;
      try {
        const answer = await fetch(this.tokenUrl, { method: "POST", headers: { "X-CSRFToken": this.csrf } });
        const body = answer.headers.get("content-type")?.includes("json") ? await answer.json() : {};
        if (answer.status === 403 && body.code) { this.on.refused(body.msg || body.code); return; }
        if (!answer.ok || answer.redirected || !body.token) throw new Error("no token");
        token = body.token;
      } catch { this.again(); return; }
      this.socket = new WebSocket(this.url, ["mdds.v1.json", `auth.${token}`]);
      this.heardAt = Date.now();
      this.socket.onmessage = (event) => { this.heardAt = Date.now(); this.take(JSON.parse(event.data)); };
      this.socket.onclose = (event) => {
        this.socket = null; this.sids.clear(); this.asked.clear();
        if (event.code === 4403) this.on.refused("the right to watch has ended"); else this.again();
      };
    }

    again() {
      this.on.down();
      setTimeout(() => this.connect(), this.retryMs * (0.5 + Math.random() / 2));
      this.retryMs = Math.min(this.retryMs * 2, RETRY_MS_MAX);
    }

    follow(name, request) {
      this.unfollow(name);
      this.wanted.set(name, request);
      this.ask(name);
    }

    unfollow(name) {
      const before = this.wanted.get(name);
      if (!before) return;
      this.wanted.delete(name);
      for (const [sid, of] of this.sids) if (of === name) { this.send({ op: "unsub", id: ++this.id, sid }); this.sids.delete(sid); }
      for (const symbol of before.symbols) this.last.delete(`${before.ch} ${symbol}`);
    }

    ask(name) {
      const { resumes, ...request } = this.wanted.get(name);
      if (resumes) {
        const known = request.symbols.filter((symbol) => this.last.has(`${request.ch} ${symbol}`));
        if (known.length) request.resume = Object.fromEntries(known.map((s) => [s, this.last.get(`${request.ch} ${s}`)]));
      }
      this.asked.set(++this.id, name);
      this.send({ op: "sub", id: this.id, ...request });
    }

    send(value) { if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(value)); }

    take(message) {
      if (Array.isArray(message)) { for (const record of message) this.record(record); this.on.flushed(); return; }
      if (message.t === "welcome") {
        this.retryMs = 500;
        this.on.up(message);
        for (const name of this.wanted.keys()) this.ask(name);
      } else if (message.t === "hb") this.on.feeds(message.feeds || {});
      else if (message.t === "sub") {
        const name = this.asked.get(message.id);
        this.asked.delete(message.id);
        if (this.wanted.has(name)) this.sids.set(message.sid, name); else this.send({ op: "unsub", id: ++this.id, sid: message.sid });
        for (const error of message.errors || []) this.on.error(name, error);
      } else if (message.t === "gap") this.on.gap(this.sids.get(message.sid), message);
      else if (message.t === "error") this.on.error(this.asked.get(message.id), message);
    }

    record(record) {
      const key = `${record.ch} ${record.s}`;
      if (record.ch === "book") {
        const held = this.last.get(key);
        if (record.kind === "delta") {
          if (!held || held[0] !== record.ep) return;
          if (record.n <= held[1]) return;
          if ((record.pn ?? record.n - 1) > held[1]) { this.last.delete(key); this.again_from_snapshot(record.s); return; }
        }
      }
      this.last.set(key, [record.ep, record.n]);
      this.on.record(record);
    }

    again_from_snapshot(symbol) {
      for (const [name, request] of this.wanted) if (request.ch === "book" && request.symbols.includes(symbol)) this.follow(name, request);
    }
  }

  window.MarketStream = Stream;
})();
