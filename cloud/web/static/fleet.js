// The fleet as a list and on a map. Only the rows in sight are elements; the rest is an array that is filtered and sorted.
import { age, bytes, el, number, unknown } from "./dom.js";
import { makeMap } from "./map.js";
import { fleet, now, stateOf, watch } from "./state.js";

const ROW_PX = 36, MARGIN = 8;
const WORDS = { live: "live", stale: "stale", lost: "connection lost", left: "signed off", unknown: "never heard" };
const SEVERITY = ["none", "info", "warning", "critical"];
const BAD_FIRST = { lost: 0, stale: 1, unknown: 2, live: 3, left: 4 };
const COLUMNS = [
  ["id", "Van", (a, b) => (a.key < b.key ? -1 : 1)],
  ["state", "State", (a, b) => BAD_FIRST[a.state] - BAD_FIRST[b.state]],
  ["heard", "Age of data", (a, b) => (b.heard ?? 0) - (a.heard ?? 0)],
  ["worst", "Worst health", (a, b) => b.worst - a.worst || b.open - a.open],
  ["speed", "Speed", (a, b) => (b.speed ?? -1) - (a.speed ?? -1)],
  ["place", "Place", (a, b) => (a.lat === null) - (b.lat === null) || a.lat - b.lat],
  ["bytes", "Today", (a, b) => b.bytes - a.bytes],
];
const memory = { text: "", state: "", sort: "worst", down: false, picked: 0 };

export function fleetPage(main, go) {
  const search = el("input", { type: "search", placeholder: "Find a van  ( / )", "aria-label": "Find a van", id: "search" });
  search.value = memory.text;
  const states = el("select", { "aria-label": "State" }, el("option", { value: "" }, "every state"), ...Object.entries(WORDS).map(([key, word]) => el("option", { value: key }, word)), el("option", { value: "open" }, "with open events"));
  states.value = memory.state;
  const count = el("span", { class: "dim", role: "status", id: "count" });
  const heads = COLUMNS.map(([key, title]) => el("span", {}, el("button", { type: "button", "data-sort": key, onclick: () => { memory.down = memory.sort === key && !memory.down; memory.sort = key; refresh(); } }, title)));
  const rows = el("div", { class: "rows" });
  const list = el("div", { class: "card list grow", tabindex: "0", role: "grid", "aria-label": "Vans. Up and down choose, Enter opens." }, el("div", { class: "row head" }, heads), rows);
  const map = makeMap({ tileUrl: fleet.config.tile_url, onPick: (id) => go(`#/van/${encodeURIComponent(id)}`) });
  main.append(el("h1", {}, "Fleet"), el("div", { class: "bar" }, search, states, count), el("div", { class: "split" }, list, map.node));
  let shown = [], drawn = 0;

  function refresh() {
    const begun = performance.now(), at = now(), text = memory.text.trim().toLowerCase();
    shown = [];
    for (const item of fleet.vans.values()) {
      item.state = stateOf(item, at);
      if (text && !item.key.includes(text)) continue;
      if (memory.state && (memory.state === "open" ? !item.open : item.state !== memory.state)) continue;
      shown.push(item);
    }
    const order = COLUMNS.find((c) => c[0] === memory.sort)[2], sign = memory.down ? -1 : 1;
    shown.sort((a, b) => sign * order(a, b) || (a.key < b.key ? -1 : 1));
    memory.picked = Math.max(0, Math.min(memory.picked, shown.length - 1));
    rows.style.height = `${shown.length * ROW_PX}px`;
    count.textContent = `${shown.length} of ${fleet.vans.size} vans`;
    for (const head of heads) head.firstChild.textContent = COLUMNS.find((c) => c[0] === head.firstChild.dataset.sort)[1] + (head.firstChild.dataset.sort === memory.sort ? (memory.down ? " ↑" : " ↓") : "");
    paint();
    const placed = shown.filter((item) => item.lat !== null && item.lon !== null), few = placed.length <= 500;
    map.set({ points: placed, tracks: few ? placed.map((item) => fleet.tracks.get(item.id)).filter(Boolean) : [], note: shown.length > placed.length ? `${shown.length - placed.length} without a place` : "" });
    drawn = performance.now();
    list.dataset.ms = (drawn - begun).toFixed(1);
  }
  function paint() {
    const at = now(), first = Math.max(0, Math.floor(list.scrollTop / ROW_PX) - MARGIN), last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW_PX) + 2 * MARGIN);
    rows.replaceChildren(...shown.slice(first, last).map((item, i) => row(item, first + i, at)));
  }
  function row(item, index, at) {
    const node = el("a", { class: `row item${index === memory.picked ? " picked" : ""}`, href: `#/van/${encodeURIComponent(item.id)}`, "data-van": item.id, tabindex: "-1" },
      el("span", {}, item.id, item.flags.includes("s") ? el("span", { class: "tag", title: "made by a model, not by a vehicle" }, "sim") : null, item.flags.includes("r") ? el("span", { class: "tag", title: "replayed recording" }, "rec") : null),
      el("span", {}, el("i", { class: `dot s-${item.state}` }), WORDS[item.state]),
      item.heard ? el("span", { class: "num" }, age(at - item.heard)) : unknown(),
      el("span", {}, el("span", { class: `sev ${SEVERITY[item.worst]}` }, item.worst ? SEVERITY[item.worst] : "no open event"), item.open ? ` ${item.open}` : ""),
      item.speed === null ? unknown() : el("span", { class: "num" }, `${number(Math.round(item.speed * 10) / 10)} km/h`),
      item.lat === null || item.lon === null ? unknown() : el("span", { class: "num" }, `${item.lat.toFixed(5)}, ${item.lon.toFixed(5)}`),
      el("span", { class: "num" }, bytes(item.bytes)));
    node.style.top = `${index * ROW_PX}px`;
    return node;
  }
  search.addEventListener("input", () => { memory.text = search.value; memory.picked = 0; list.scrollTop = 0; refresh(); });
  search.addEventListener("keydown", (e) => { if (e.key === "Enter" && shown[0]) go(`#/van/${encodeURIComponent(shown[0].id)}`); if (e.key === "ArrowDown") list.focus(); });
  states.addEventListener("change", () => { memory.state = states.value; refresh(); });
  list.addEventListener("scroll", paint, { passive: true });
  list.addEventListener("keydown", (e) => {
    const page = Math.floor(list.clientHeight / ROW_PX) - 1;
    const move = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[e.key];
    if (e.key === "Enter" && shown[memory.picked]) return go(`#/van/${encodeURIComponent(shown[memory.picked].id)}`);
    if (move === undefined) return;
    e.preventDefault();
    memory.picked = Math.max(0, Math.min(shown.length - 1, memory.picked + move));
    const top = memory.picked * ROW_PX;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top > list.scrollTop + list.clientHeight - 3 * ROW_PX) list.scrollTop = top - list.clientHeight + 3 * ROW_PX;
    paint();
  });
  const unwatch = watch((change) => { if (change.rows && (change.first || performance.now() - drawn > 400)) refresh(); });
  const timer = setInterval(refresh, 1000), resized = () => { paint(); map.draw(); };
  window.addEventListener("resize", resized);
  refresh();
  return { close() { unwatch(); clearInterval(timer); window.removeEventListener("resize", resized); }, theme: map.draw, search };
}
