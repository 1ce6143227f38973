// The market page: a board of quotes, the chosen symbol's ladder and its trades, drawn once a frame.
(() => {
  const ROWS_MAX = 60;
  const LEVELS = 10;
  const TRADES_MAX = 24;
  const root = document.getElementById("market");
  const $ = (id) => document.getElementById(id);
  const price = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const symbols = new Map(); // symbol → {quote, stats, row, cells, dirty}
  const changed = new Set();
  let chosen = new URLSearchParams(location.search).get("s") || "";
  let filter = "";
  let book = null;
  let trades = [];
  let drawing = false, ladderDirty = false, tapeDirty = false, rowsDirty = false;
  let downSince = 0;

  const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
  const shown = (value, format) => (value === null || value === undefined ? "–" : format.format(value));
  const tone = (value, stats) => {
    if (!stats || value === null || value === undefined || !stats.ref) return "";
    if (stats.ceil && value >= stats.ceil) return "ceiling";
    if (stats.floor && value <= stats.floor) return "floor";
    return value > stats.ref ? "up" : value < stats.ref ? "down" : "level";
  };
  const draw = () => { if (!drawing) { drawing = true; requestAnimationFrame(paint); } };

  const entry = (name) => {
    let one = symbols.get(name);
    if (!one) { one = { name, quote: null, stats: null, row: null, cells: null, last: null }; symbols.set(name, one); rowsDirty = true; }
    return one;
  };
  const row = (one) => {
    const tr = document.createElement("tr");
    tr.dataset.symbol = one.name;
    const head = document.createElement("th");
    head.scope = "row";
    const button = document.createElement("button");
    button.type = "button"; button.className = "symbol"; button.textContent = one.name;
    head.append(button); tr.append(head);
    one.cells = ["last", "change", "bq", "bp", "ap", "aq", "vol", "range"].map((name) => {
      const td = document.createElement("td"); td.className = "number"; td.dataset.of = name; tr.append(td); return td;
    });
    one.row = tr;
    return tr;
  };
  const fill = (one) => {
    const [last, change, bq, bp, ap, aq, volume, range] = one.cells;
    const { quote, stats } = one;
    const now = stats?.c ?? null;
    text(last, shown(now, price));
    last.className = `number ${tone(now, stats)}`;
    if (one.last !== null && now !== null && now !== one.last) {
      last.classList.add(now > one.last ? "ticked-up" : "ticked-down");
    }
    one.last = now;
    const diff = now !== null && stats?.ref ? now - stats.ref : null;
    text(change, diff === null ? "–" : `${diff > 0 ? "▲" : diff < 0 ? "▼" : "■"} ${(100 * Math.abs(diff) / stats.ref).toFixed(2)} %`);
    change.className = `number ${tone(now, stats)}`;
    text(bq, shown(quote?.bq, whole)); text(aq, shown(quote?.aq, whole));
    text(bp, shown(quote?.bp, price)); text(ap, shown(quote?.ap, price));
    bp.className = `number ${tone(quote?.bp, stats)}`; ap.className = `number ${tone(quote?.ap, stats)}`;
    text(volume, shown(stats?.vol, whole));
    text(range, stats?.l === null || !stats ? "–" : `${price.format(stats.l)} – ${price.format(stats.h)}`);
    if (one.name === chosen) one.row.setAttribute("aria-current", "true"); else one.row.removeAttribute("aria-current");
  };
  const layOut = () => {
    const names = [...symbols.keys()].filter((name) => name.includes(filter)).sort();
    const visible = names.slice(0, ROWS_MAX);
    const nodes = visible.map((name) => { const one = symbols.get(name); const node = one.row || row(one); changed.add(one); return node; });
    $("board").replaceChildren(...nodes);
    $("empty").hidden = names.length > 0;
    text($("empty"), filter && symbols.size ? `No symbol with “${filter}” has been quoted.` : "Waiting for the first quotes.");
    text($("shown"), names.length > visible.length ? `${visible.length} of ${names.length}; type to narrow down` : `${names.length || ""}`);
  };
  const paintLadder = () => {
    const stats = symbols.get(chosen)?.stats;
    const side = (levels, down) => [...levels].sort((x, y) => (down ? y[0] - x[0] : x[0] - y[0])).slice(0, LEVELS);
    const offers = book ? side(book.a, false).reverse() : [];
    const bids = book ? side(book.b, true) : [];
    const most = Math.max(1, ...offers.map((level) => level[1]), ...bids.map((level) => level[1]));
    const line = (level, isBid) => {
      const tr = document.createElement("tr");
      tr.className = isBid ? "bid" : "offer";
      const share = `${(100 * level[1] / most).toFixed(1)}%`;
      const cells = [document.createElement("td"), document.createElement("td"), document.createElement("td")];
      cells[0].className = "number"; cells[1].className = `price ${tone(level[0], stats)}`; cells[2].className = "number";
      const quantity = cells[isBid ? 0 : 2];
      quantity.textContent = whole.format(level[1]); quantity.style.setProperty("--share", share); quantity.classList.add("bar");
      cells[1].textContent = level[0] ? price.format(level[0]) : "at market";
      tr.append(...cells);
      return tr;
    };
    const rows = offers.map((level) => line(level, false));
    if (offers.length && bids.length) {
      const tr = document.createElement("tr"); tr.className = "spread";
      const td = document.createElement("td"); td.colSpan = 3;
      td.textContent = `spread ${price.format(offers[offers.length - 1][0] - bids[0][0])}`;
      tr.append(td); rows.push(tr);
    }
    $("ladder").replaceChildren(...rows, ...bids.map((level) => line(level, true)));
    text($("chosen"), chosen || "–");
    text($("ladder-note"), !chosen ? "choose a symbol" : !book ? "no book yet" : `to record ${whole.format(book.n)}`);
  };
  const paintTape = () => {
    const stats = symbols.get(chosen)?.stats;
    $("tape").replaceChildren(...trades.map((trade) => {
      const tr = document.createElement("tr");
      const [at, p, v] = ["quiet", `number ${tone(trade.p, stats)}`, "number"].map((name) => {
        const td = document.createElement("td"); td.className = name; tr.append(td); return td;
      });
      at.textContent = trade.ts.slice(11, 23); p.textContent = price.format(trade.p); v.textContent = whole.format(trade.v);
      return tr;
    }));
  };
  function paint() {
    drawing = false;
    if (rowsDirty) { rowsDirty = false; layOut(); }
    for (const one of changed) if (one.row?.isConnected) fill(one);
    changed.clear();
    if (ladderDirty) { ladderDirty = false; paintLadder(); }
    if (tapeDirty) { tapeDirty = false; paintTape(); }
  }

  const takeBook = (record) => {
    if (record.kind === "snap" || !book) book = { b: new Map(), a: new Map() };
    for (const side of ["b", "a"]) for (const [p, q] of record[side]) if (q) book[side].set(p, q); else book[side].delete(p);
    book.n = record.n;
    ladderDirty = true;
  };
  const on = {
    record(record) {
      if (record.ch === "quote" || record.ch === "stats") {
        const one = entry(record.s);
        // Of several boards the main one (G1) speaks for the symbol; another one only until it has.
        if (record.bd === "G1" || one[record.ch]?.bd !== "G1") { one[record.ch] = record; changed.add(one); }
        if (record.s === chosen && record.ch === "stats") ladderDirty = true;
      } else if (record.s !== chosen) return;
      else if (record.ch === "book") takeBook(record);
      else if (record.ch === "trade") { trades.unshift(record); trades.length = Math.min(trades.length, TRADES_MAX); tapeDirty = true; }
    },
    flushed: draw,
    up() { downSince = 0; text($("connection"), "connected"); $("stale").hidden = true; },
    down() { downSince ||= Date.now(); text($("connection"), "not connected"); },
    refused(msg) { text($("connection"), `Not allowed: ${msg}`); $("connection").className = "refused"; },
    gap() { draw(); },
    error(name, error) { if (name === "book" || name === "trade") text($("ladder-note"), error.msg || `${error.s}: ${error.code}`); },
    feeds(feeds) {
      $("feeds").replaceChildren($("connection"), ...Object.entries(feeds).map(([name, feed]) => {
        const chip = document.createElement("span");
        chip.className = `chip ${feed.state}`; chip.textContent = `${name} ${feed.state}`;
        return chip;
      }));
    },
  };
  const stream = window.marketStream = new window.MarketStream({ url: root.dataset.url, tokenUrl: root.dataset.tokenUrl, csrf: root.dataset.csrf, on });
  stream.follow("quote", { ch: "quote", symbols: ["*"], conflate_ms: 250 });
  stream.follow("stats", { ch: "stats", symbols: ["*"], conflate_ms: 250 });

  const choose = (name) => {
    const before = symbols.get(chosen);
    chosen = name; book = null; trades = []; ladderDirty = tapeDirty = true;
    for (const one of [before, symbols.get(name)]) if (one) changed.add(one);
    const address = new URL(location.href); address.searchParams.set("s", name); history.replaceState(null, "", address);
    stream.follow("book", { ch: "book", symbols: [name], depth: LEVELS, resumes: true });
    stream.follow("trade", { ch: "trade", symbols: [name], resumes: true });
    draw();
  };
  if (chosen) choose(chosen);
  $("board").addEventListener("click", (event) => { const tr = event.target.closest("tr"); if (tr) choose(tr.dataset.symbol); });
  $("symbol").addEventListener("input", (event) => { filter = event.target.value.trim().toUpperCase(); rowsDirty = true; draw(); });
  $("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const first = symbols.has(filter) ? filter : [...symbols.keys()].sort().find((name) => name.includes(filter));
    if (filter) choose(first || filter);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !["INPUT", "TEXTAREA", "SELECT"].includes(document.activeElement?.tagName)) { event.preventDefault(); $("symbol").focus(); }
    if (event.key === "Escape" && document.activeElement === $("symbol")) { $("symbol").value = ""; filter = ""; rowsDirty = true; draw(); }
  });
  setInterval(() => {
    if (!downSince) return;
    $("stale").hidden = Date.now() - downSince < 2000;
    text($("stale-age"), `${Math.round((Date.now() - downSince) / 1000)} s`);
  }, 500);
})();
