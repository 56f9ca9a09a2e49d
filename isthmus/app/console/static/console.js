// What scripts add to pages that work without them: keys, charts, live parts. No framework, no inline code.
"use strict";

// -- keys -----------------------------------------------------------------------------------------------------------
let going = 0; // when g was pressed: the next key says where to

function typing(event) {
  return event.target.closest("input, select, textarea, [contenteditable]") || event.ctrlKey || event.metaKey || event.altKey;
}

function rowsOf() {
  const list = document.querySelector("[data-list]");
  return list ? [...list.querySelectorAll(list.tagName === "TABLE" ? "tbody tr" : "li")].filter((row) => row.querySelector("a")) : [];
}

function walk(step) {
  const rows = rowsOf();
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains("at"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
  rows.forEach((row) => row.classList.toggle("at", row === next));
  next.querySelector("a").focus();
  next.scrollIntoView({ block: "nearest" });
}

function choose() {
  const box = document.querySelector(".at input[type=checkbox]");
  if (box) box.click();
}

document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  const key = event.key;
  if (Date.now() - going < 1500) {
    const link = document.querySelector(`[data-go="${CSS.escape(key)}"]`);
    going = 0;
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  const acts = {
    "/": () => document.getElementById("find")?.focus(),
    "?": () => document.getElementById("keys")?.showModal(),
    j: () => walk(1),
    k: () => walk(-1),
    x: choose,
    g: () => { going = Date.now(); },
  };
  if (acts[key]) { event.preventDefault(); acts[key](); }
});

// -- small helps ----------------------------------------------------------------------------------------------------
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener) document.getElementById(opener.dataset.open)?.showModal();
  const filler = event.target.closest("[data-fill]");
  if (filler) {
    const input = document.getElementById(filler.dataset.fill);
    input.value = filler.dataset.value;
    input.focus();
  }
  const all = event.target.closest("[data-all]");
  if (all) all.closest("table").querySelectorAll("tbody input[type=checkbox]").forEach((box) => { box.checked = all.checked; });
  document.querySelectorAll("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});

// -- charts ---------------------------------------------------------------------------------------------------------
const drawn = new Map();

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function shown(number, unit) {
  return `${Number(number).toLocaleString("en-US", { minimumFractionDigits: unit ? 2 : 0, maximumFractionDigits: 2 })}${unit ? ` ${unit}` : ""}`;
}

function short(number) {
  return Math.abs(number) >= 1e6 ? `${number / 1e6}M` : Math.abs(number) >= 1e3 ? `${number / 1e3}k` : `${number}`;
}

function monthOf(label) { // 2026-03 as Mar, and January with its year
  const [year, month] = label.split("-");
  const name = new Date(Date.UTC(year, month - 1, 1)).toLocaleString("en-US", { month: "short", timeZone: "UTC" });
  return month === "01" ? `${name}\n${year}` : name;
}

function frame(unit, narrow) {
  const quiet = { color: ink("--ink-3"), fontFamily: "Inter", fontSize: 11.5 };
  return {
    animationDuration: 300,
    textStyle: { fontFamily: "Inter" },
    grid: { left: 8, right: 12, top: 30, bottom: 6, containLabel: true },
    legend: { type: "scroll", top: 0, left: 0, right: 0, pageIconColor: ink("--ink-2"), pageIconInactiveColor: ink("--line-2"), pageTextStyle: quiet, itemWidth: 11, itemHeight: 11, icon: "roundRect", textStyle: { ...quiet, color: ink("--ink-2") } },
    tooltip: { trigger: "axis", renderMode: "richText", backgroundColor: ink("--card"), borderColor: ink("--line-2"), textStyle: { ...quiet, color: ink("--ink"), fontSize: 12.5 }, axisPointer: { type: "shadow", shadowStyle: { color: ink("--sunk"), opacity: 0.7 } }, valueFormatter: (value) => shown(value, unit) },
    category: { type: "category", axisLine: { lineStyle: { color: ink("--line-2") } }, axisTick: { show: false }, axisLabel: { ...quiet, interval: 0, width: narrow ? 62 : 110, overflow: "break", lineHeight: 13 } },
    value: { type: "value", splitLine: { lineStyle: { color: ink("--line") } }, axisLabel: { ...quiet, formatter: short } },
  };
}

const STATES = ["ready", "on_draft", "held", "deferred", "over_cap"];
const KINDS = {
  stack(facts, unit, narrow) { // unbilled by age, one colour for each state
    const base = frame(unit, narrow);
    const at = (age, state) => { const place = facts.rows.indexOf(age); return place < 0 ? 0 : Number(facts.series[place][state] || 0); };
    const used = STATES.filter((state) => facts.labels.some((age) => at(age, state)));
    return { ...base, xAxis: { ...base.category, data: facts.labels }, yAxis: base.value,
      series: used.map((state) => ({ name: state.replace("_", " "), type: "bar", stack: "all", barMaxWidth: 46, itemStyle: { color: ink(`--p-${state}`) }, data: facts.labels.map((age) => at(age, state)) })) };
  },
  owners(facts) { // cases by owner, darker the older
    const base = frame("");
    const tones = ["--p-on_draft", "--p-ready", "--p-deferred", "--p-held", "--p-over_cap"];
    const owners = facts.rows.slice(0, 7);
    return { ...base, xAxis: { ...base.value, minInterval: 1 }, yAxis: { ...base.category, data: owners, inverse: true },
      series: facts.labels.map((age, n) => ({ name: age, type: "bar", stack: "all", barMaxWidth: 18, itemStyle: { color: ink(tones[n]) }, data: owners.map((_, row) => facts.series[row][age] || 0) })) };
  },
  bars(facts, unit) {
    const base = frame(unit);
    return { ...base, legend: { show: false }, grid: { ...base.grid, top: 10 }, xAxis: { ...base.category, data: facts.labels.map(monthOf) }, yAxis: base.value,
      series: [{ name: "net billed", type: "bar", barMaxWidth: 34, itemStyle: { color: ink("--p-invoiced"), borderRadius: [4, 4, 0, 0] }, data: facts.series.map(Number) }] };
  },
};

function draw() {
  for (const [box, chart] of drawn) if (!box.isConnected) { chart.dispose(); drawn.delete(box); }
  if (!window.echarts) { document.body.classList.add("no-charts"); return; }
  document.querySelectorAll(".chart[data-chart]").forEach((box) => {
    const chart = drawn.get(box) || window.echarts.init(box, null, { renderer: "canvas" });
    drawn.set(box, chart);
    chart.setOption(KINDS[box.dataset.kind](JSON.parse(box.dataset.chart), box.dataset.unit || "", box.clientWidth < 420), true);
  });
}

window.addEventListener("resize", () => drawn.forEach((chart) => chart.resize()));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.addEventListener("DOMContentLoaded", draw);
document.addEventListener("htmx:afterSettle", draw);

// -- live parts -----------------------------------------------------------------------------------------------------
function listen() {
  const address = document.body.dataset.live;
  if (!address || !window.EventSource) return;
  const dot = document.getElementById("live");
  const source = new EventSource(address);
  source.addEventListener("open", () => dot.classList.add("on"));
  source.addEventListener("error", () => dot.classList.remove("on"));
  source.addEventListener("moved", () => {
    dot.classList.remove("moved");
    void dot.offsetWidth; // so that the beat can be seen again
    dot.classList.add("moved");
    if (!document.querySelector("main :focus:is(input, select, textarea)")) window.htmx.trigger(document.body, "moved");
  });
  window.addEventListener("pagehide", () => source.close());
}
document.addEventListener("DOMContentLoaded", listen);
