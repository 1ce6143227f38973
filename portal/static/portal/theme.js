// Sets the theme before the first paint: the one chosen here, else the system's.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("mdds-theme"); } catch { return null; } };
  const apply = () => {
    document.documentElement.dataset.theme = stored() || (system.matches ? "dark" : "light");
    dispatchEvent(new Event("themechange"));
  };
  system.addEventListener("change", apply);
  apply();
  window.switchTheme = () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("mdds-theme", next); } catch { /* private mode: this page only */ }
    document.documentElement.dataset.theme = next;
    dispatchEvent(new Event("themechange"));
  };
})();
