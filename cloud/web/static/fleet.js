// The fleet as a list and on a map. Only the rows in sight are elements; the rest is an array, sorted when there is news (it is
// nearly sorted then, which is cheap) and filtered at each key.
import { SEVERITY, WORDS, age, bytes, el, emptyState, measured, plural, replaced, say, unknown } from "./dom.js";
import { makeMap } from "./map.js";
import { fleet, lastStateOf, now, stateOf, watch } from "./state.js";

const ROW_PX = 38, MARGIN = 6, MAP_LATER_MS = 60, REFRESH_MS = 400;
const BAD_FIRST = { cut: 0, lost: 0, stale: 1, unknown: 2, live: 3, left: 4 };
// key, title, and the number by which vans are sorted, the smallest first; equal ones by their names
const COLUMNS = [
  ["id", "Van", (item) => item.rank],
  ["state", "State", (item) => BAD_FIRST[item.state]],
  ["heard", "Age", (item) => -(item.heard ?? 0)],
  ["worst", "Health", (item) => -(item.worst * 1e6 + item.open)],
  ["speed", "Speed", (item) => -(item.speed ?? -1)],
  ["place", "Place", (item) => item.lat ?? Infinity],
  ["bytes", "Today", (item) => -item.bytes],
];
const memory = { text: "", state: "", sort: "worst", down: false, picked: 0 };

export function fleetPage(main, go) {
  const search = el("input", { type: "search", placeholder: "Find a van  ( / )", "aria-label": "Find a van", id: "search" });
  search.value = memory.text;
  const chips = el("div", { class: "chips", role: "group", "aria-label": "Show only" });
  const count = el("span", { class: "dim num", role: "status", id: "count" }), none = el("div", { hidden: true });
  const heads = COLUMNS.map(([key, title]) => el("span", { role: "columnheader" }, el("button", { type: "button", "data-sort": key, onclick: () => { memory.down = memory.sort === key && !memory.down; memory.sort = key; refresh(); } }, title)));
  const rows = el("div", { class: "rows" });
  const list = el("div", { class: "card list grow", tabindex: "0", role: "grid", "aria-label": "Vans. Up and down choose, Enter opens." }, el("div", { class: "row head", role: "row" }, heads), rows, none);
  const map = makeMap({ tileUrl: fleet.config.tile_url, onPick: (id) => go(`#/van/${encodeURIComponent(id)}`) });
  main.append(el("div", { class: "head-line" }, el("h1", {}, "Fleet"), count), el("div", { class: "bar" }, search, chips), el("div", { class: "split" }, list, map.node));
  let ordered = [], shown = [], drawn = 0, told = "", today = "", tall = -1, mapDue = 0;

  function drawChips(tally) {
    const text = JSON.stringify([tally, memory.state]);
    if (text === told) return;
    told = text;
    const chip = (key, word, dot) => el("button", { type: "button", class: `chip${memory.state === key ? " on" : ""}${tally[key] ? "" : " none"}`, "data-state": key, "aria-pressed": String(memory.state === key), onclick: () => { memory.state = memory.state === key ? "" : key; list.scrollTop = 0; refresh(); } }, dot ? el("i", { class: `dot s-${key}` }) : null, word, el("b", {}, tally[key].toLocaleString("en")));
    replaced(chips, "state", ...Object.entries(WORDS).filter(([key]) => tally[key] || memory.state === key || key === "live").map(([key, word]) => chip(key, word, true)), chip("open", "with open events", false));
  }

  // What time, news or another column change: states, their numbers, the order.
  function refresh() {
    const at = now(), tally = { live: 0, stale: 0, lost: 0, left: 0, unknown: 0, cut: 0, open: 0 };
    let received = 0;
    if (ordered.length !== fleet.vans.size) {
      ordered = [...fleet.vans.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
      ordered.forEach((item, i) => { item.rank = i; });
    }
    const [, , by] = COLUMNS.find((c) => c[0] === memory.sort), sign = memory.down ? -1 : 1;
    for (const item of ordered) {
      item.state = stateOf(item, at);
      item.by = sign * by(item);
      tally[item.state]++;
      received += item.bytes;
      if (item.open) tally.open++;
    }
    ordered.sort((a, b) => a.by - b.by || a.rank - b.rank);
    today = bytes(received);
    drawChips(tally);
    for (const [i, [key, title]] of COLUMNS.entries()) {
      say(heads[i].firstChild, title + (key === memory.sort ? (memory.down ? " ↑" : " ↓") : ""));
      heads[i].setAttribute("aria-sort", key !== memory.sort ? "none" : memory.down ? "descending" : "ascending");
    }
    choose();
  }
  // What a search or a choice of state changes: which of the ordered vans are shown.
  function choose() {
    const begun = performance.now(), top = list.scrollTop, height = list.clientHeight, text = memory.text.trim().toLowerCase(), state = memory.state;
    shown = ordered.filter((item) => (!text || item.key.includes(text)) && (!state || (state === "open" ? item.open : item.state === state)));
    memory.picked = Math.max(0, Math.min(memory.picked, shown.length - 1));
    if (tall !== shown.length) rows.style.height = `${(tall = shown.length) * ROW_PX}px`;
    say(count, `${shown.length.toLocaleString("en")} of ${plural(fleet.vans.size, "van")} shown; ${today} received today (UTC)`);
    drawNone();
    paint(top, height);
    mapDue ||= setTimeout(drawMap, MAP_LATER_MS);
    drawn = performance.now();
    list.dataset.ms = (drawn - begun).toFixed(1);
  }
  // The map comes after the frame that shows what was typed: twenty thousand dots must not hold up a key.
  function drawMap() {
    mapDue = 0;
    const placed = shown.filter((item) => item.xy), few = placed.length <= 500;
    map.set({ points: placed, tracks: few ? placed.map((item) => fleet.tracks.get(item.id)).filter(Boolean) : [], note: shown.length > placed.length ? `${shown.length - placed.length} without a place` : "" });
  }
  function drawNone() {
    none.hidden = shown.length > 0;
    if (shown.length) return;
    const clear = () => { memory.text = memory.state = search.value = ""; refresh(); search.focus(); };
    if (fleet.vans.size) none.replaceChildren(emptyState("No van matches", "Nothing fits this search and choice of state. ", el("div", {}, el("button", { type: "button", onclick: clear }, "Show every van"))));
    else if (!fleet.ready) none.replaceChildren(emptyState("Reading the fleet", "The page's server has not read all of its vans yet."));
    else none.replaceChildren(emptyState("No van has been heard of yet", "A van appears here with its first message. If one should be running: ", el("code", {}, "vantel-edge status"), " on the van and ", el("code", {}, "vantel-cloud check"), " here say what is missing."));
  }
  // top, height: what is in sight, asked before anything is changed, or the page would be laid out twice
  function paint(top = list.scrollTop, height = list.clientHeight) {
    const at = now(), first = Math.max(0, Math.floor(top / ROW_PX) - MARGIN), last = Math.min(shown.length, first + Math.ceil(height / ROW_PX) + 2 * MARGIN);
    rows.replaceChildren(...shown.slice(first, last).map((item, i) => row(item, first + i, at)));
    list.setAttribute("aria-activedescendant", `row-${memory.picked}`);
    list.setAttribute("aria-rowcount", shown.length + 1);
  }
  function row(item, index, at) {
    const node = el("a", { class: `row item${index === memory.picked ? " picked" : ""}${item.state === "cut" ? " cut" : ""}`, href: `#/van/${encodeURIComponent(item.id)}`, "data-van": item.id, tabindex: "-1", role: "row", id: `row-${index}` },
      el("span", {}, item.id, item.flags.includes("s") ? el("span", { class: "tag", title: "made by a model, not by a vehicle" }, "simulated") : null, item.flags.includes("r") ? el("span", { class: "tag", title: "a replayed recording" }, "replay") : null),
      el("span", item.state === "cut" ? { title: `The page hears nothing from its server. Last known: ${WORDS[lastStateOf(item, at)]}.` } : {}, el("i", { class: `dot s-${item.state}` }), WORDS[item.state]),
      item.heard ? el("span", { class: "num" }, age(at - item.heard)) : unknown(),
      el("span", {}, el("span", { class: `sev ${SEVERITY[item.worst]}` }, item.worst ? SEVERITY[item.worst] : "good"), item.open ? el("span", { class: "num dim", title: `${plural(item.open, "event")} that nobody acknowledged` }, ` ${item.open}`) : ""),
      item.speed === null ? unknown() : el("span", { class: "num" }, measured(Math.round(item.speed), "km/h")),
      item.xy === null ? unknown() : el("span", { class: "num" }, `${item.lat.toFixed(4)}, ${item.lon.toFixed(4)}`),
      el("span", { class: "num" }, bytes(item.bytes)));
    for (const cell of node.children) cell.setAttribute("role", "gridcell");
    node.style.top = `${index * ROW_PX}px`;
    return node;
  }
  search.addEventListener("input", () => { memory.text = search.value; memory.picked = 0; list.scrollTop = 0; choose(); });
  search.addEventListener("keydown", (e) => { if (e.key === "Enter" && shown[0]) go(`#/van/${encodeURIComponent(shown[0].id)}`); if (e.key === "ArrowDown") list.focus(); });
  list.addEventListener("scroll", () => paint(), { passive: true });
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
  const unwatch = watch((change) => { if (change.first) ordered = []; if (change.link || (change.rows && (change.first || rested()))) refresh(); });
  const rested = () => performance.now() - drawn > REFRESH_MS; // of the last drawing, by news or by a key
  const timer = setInterval(() => { if (rested()) refresh(); }, 1000), resized = () => { paint(); map.draw(); };
  window.addEventListener("resize", resized);
  refresh();
  return { close() { unwatch(); clearInterval(timer); clearTimeout(mapDue); window.removeEventListener("resize", resized); }, theme: map.draw, search };
}
