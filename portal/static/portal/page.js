// What every page does: the clock, local time on hover, "/" to search, copy buttons, the theme switch.
(() => {
  const clock = document.getElementById("clock");
  const tick = () => {
    const now = new Date();
    clock.textContent = `${now.toISOString().slice(11, 19)} UTC`;
    clock.title = `local time: ${now.toLocaleString()}`;
  };
  if (clock) { tick(); setInterval(tick, 1000); }

  document.getElementById("theme-switch")?.addEventListener("click", () => window.switchTheme());

  document.addEventListener("mouseover", (event) => {
    const time = event.target.closest?.("time[datetime]");
    if (time) time.title = `local time: ${new Date(time.dateTime).toLocaleString()}`;
  });

  document.addEventListener("keydown", (event) => {
    const search = document.getElementById("search");
    const typing = event.target.closest?.("input, select, textarea, [contenteditable]");
    if (event.key === "/" && search && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape" && event.target === search) {
      search.value = "";
      search.dispatchEvent(new Event("input", { bubbles: true }));
      search.blur();
    }
  });

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // no clipboard outside https and localhost: select it, so that the operator can
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    await copy(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  // A filter in the page: rows without the text are hidden, and the text is kept in the URL.
  const form = document.querySelector("form[data-filter=rows]");
  const filter = () => {
    const wanted = form.elements.q.value.trim().toLowerCase();
    for (const row of document.querySelectorAll("table[data-rows] tbody tr")) {
      row.hidden = Boolean(wanted) && !row.textContent.toLowerCase().includes(wanted);
    }
  };
  if (form) {
    form.elements.q.value = new URLSearchParams(location.search).get("q") || "";
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      const url = new URL(location);
      if (form.elements.q.value) url.searchParams.set("q", form.elements.q.value);
      else url.searchParams.delete("q");
      history.replaceState(null, "", url);
      filter();
    });
    document.addEventListener("liveupdate", filter);
    filter();
  }
})();
