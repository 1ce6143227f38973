// The live channel: takes one update a second and changes only the text and attributes that differ.
(() => {
  const STALE_AFTER_MS = 5000;
  const RETRY_MS_MAX = 30000;
  const FORBIDDEN = 4403;
  const banner = document.getElementById("stale");
  const bannerAge = document.getElementById("stale-age");
  let heardAt = Date.now();
  let retryMs = 500;

  // Makes `old` look like `fresh` in place, so that focus, selection, scroll and open details survive.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      const ours = name === "open" || name === "hidden" || (name === "title" && old.nodeName === "TIME");
      if (!fresh.hasAttribute(name) && !ours) old.removeAttribute(name);
    }
    morphChildren(old, fresh);
  };
  const morphChildren = (old, fresh) => {
    const now = [...old.childNodes];
    const next = [...fresh.childNodes];
    next.forEach((node, index) => { if (index < now.length) morph(now[index], node); else old.append(node); });
    now.slice(next.length).forEach((node) => node.remove());
  };

  const show = (html) => {
    for (const [name, text] of Object.entries(html)) {
      const place = document.querySelector(`[data-live="${CSS.escape(name)}"]`);
      if (!place) continue;
      const template = document.createElement("template");
      template.innerHTML = text;
      morphChildren(place, template.content);
    }
    document.dispatchEvent(new Event("liveupdate"));
  };

  const connect = () => {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/portal/live`);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.t === "history") window.mddsCharts?.fill(message.points);
      if (message.t !== "status") return;
      heardAt = Date.now();
      retryMs = 500;
      show(message.html);
      window.mddsCharts?.add(message.point);
    };
    socket.onclose = ({ code }) => {
      if (code === FORBIDDEN) { location.reload(); return; } // logged out, or the role is gone: the server says which
      setTimeout(connect, retryMs * (0.5 + Math.random() / 2));
      retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    };
  };

  setInterval(() => {
    const age = Date.now() - heardAt;
    banner.hidden = age < STALE_AFTER_MS;
    bannerAge.textContent = `${Math.round(age / 1000)} s`;
  }, 500);
  connect();
})();
