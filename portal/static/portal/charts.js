// The charts of the last fifteen minutes: rates and latency, in the theme's colours, times in UTC.
(() => {
  const SPAN_S = 900;
  const SPAN_S_MIN = 120; // a young page's chart is not one dot at its edge
  const columns = [[], [], [], [], []]; // time, received, parsed, delivered, p99
  const places = [...document.querySelectorAll("[data-chart]")];
  let plots = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const short = (value) => value == null ? "–" : value >= 1e6 ? `${(value / 1e6).toFixed(1)}M` : value >= 1e4 ? `${Math.round(value / 1e3)}k` : value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 });
  const data = (kind) => kind === "rates" ? columns.slice(0, 4) : [columns[0], columns[4]];

  const options = (place) => {
    const rates = place.dataset.chart === "rates";
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const series = (label, name) => ({ label, stroke: colour(name), width: 1.6, points: { show: false }, value: (plot, value, index, at) => {
      const shown = at == null ? plot.data[index].at(-1) : value; // without a cursor: the newest
      return short(shown) + (shown == null ? "" : rates ? "/s" : " ms");
    } });
    return {
      width: place.clientWidth,
      height: rates ? 200 : 130,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { drag: { x: false, y: false } },
      scales: {
        x: { range: () => { const end = columns[0].at(-1) || Date.now() / 1000; return [Math.max(end - SPAN_S, Math.min(columns[0][0] || end, end - SPAN_S_MIN)), end]; } },
        y: { range: (_, low, high) => [0, Math.max(high || 0, rates ? 10 : 1) * 1.12] },
      },
      axes: [
        { ...axis, space: 70, values: (_, splits) => splits.map((s) => new Date(s * 1000).toISOString().slice(11, splits.at(-1) - splits[0] < 300 ? 19 : 16)) },
        { ...axis, size: 46, values: (_, splits) => splits.map(short) },
      ],
      legend: { live: true },
      series: [
        { label: "UTC", value: (plot, value, _index, at) => { const s = at == null ? plot.data[0].at(-1) : value; return s == null ? "–" : new Date(s * 1000).toISOString().slice(11, 19); } },
        ...(rates ? [series("received", "line-2"), series("parsed", "line-1"), series("delivered", "line-3")] : [series("p99", "line-1")]),
      ],
    };
  };

  const draw = () => {
    plots.forEach((plot) => plot.destroy());
    plots = places.map((place) => new uPlot(options(place), data(place.dataset.chart), place));
  };
  const refresh = () => plots.forEach((plot, index) => plot.setData(data(places[index].dataset.chart)));

  window.mddsCharts = {
    fill(points) {
      columns.forEach((column, index) => { column.length = 0; points.forEach((point) => column.push(point[index])); });
      refresh();
    },
    add(point) {
      if (!point || point[0] <= (columns[0].at(-1) || 0)) return;
      columns.forEach((column, index) => column.push(point[index]));
      while (columns[0].length && columns[0][0] < point[0] - SPAN_S) columns.forEach((column) => column.shift());
      refresh();
    },
  };
  addEventListener("themechange", draw);
  addEventListener("resize", () => plots.forEach((plot, index) => plot.setSize({ width: places[index].clientWidth, height: plot.height })));
  draw();
})();
