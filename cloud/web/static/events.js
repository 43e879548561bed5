// Events as a table with the numbers that made them fire, and the button that acknowledges one.
import { age, el, number, stamp } from "./dom.js";
import { acknowledge, fleet, now, watch } from "./state.js";

const SHOWN_MAX = 300;
const memory = { open: true, text: "" };

export function eventRow(event, withVan, fail) {
  const value = (v) => (v === null ? "no number" : `${number(v)} ${event.unit}`);
  const button = el("button", { type: "button", "data-ack": event.id, onclick: async () => { button.disabled = true; try { await acknowledge(event.id); } catch (cause) { button.disabled = false; fail(`not acknowledged: ${cause.message}`); } } }, "Acknowledge");
  const done = event.acked !== null;
  return el("tr", { class: done ? "acked" : now() - event.received < 5000 ? "fresh" : "", "data-event": event.id },
    el("td", { title: stamp(event.t) }, `${age(now() - event.t)} ago`),
    withVan ? el("td", {}, el("a", { href: `#/van/${encodeURIComponent(event.van)}` }, event.van)) : null,
    el("td", {}, el("span", { class: `sev ${event.severity}` }, event.severity)),
    el("td", { class: "wide" }, event.signal, event.injected ? el("span", { class: "tag", title: "made by a fault injector" }, `injected: ${event.injected}`) : null),
    el("td", { class: "hide-phone" }, event.channel),
    el("td", {}, value(event.value)),
    el("td", { class: "hide-phone" }, value(event.expected)),
    el("td", { class: "hide-phone", title: `detector ${event.detector || "unknown"}` }, `${number(event.score)} over ${number(event.threshold)}`),
    el("td", {}, done ? `${stamp(event.acked)}` : button));
}
export function eventTable(withVan) {
  const body = el("tbody", {}), said = el("p", { role: "alert", class: "dim" });
  const head = ["When", withVan ? "Van" : null, "Severity", "Signal", "Channel", "Value", "Expected", "Score over threshold", "Acknowledged"].filter(Boolean);
  const thin = new Set(["Channel", "Expected", "Score over threshold"]);
  const node = el("div", {}, said, el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, head.map((text) => el("th", { class: thin.has(text) ? "hide-phone" : "" }, text)))), body)));
  return { node, set(events) { body.replaceChildren(...events.map((event) => eventRow(event, withVan, (text) => { said.textContent = text; }))); if (!events.length) body.append(el("tr", {}, el("td", { colSpan: head.length, class: "unknown" }, "no event"))); } };
}
export function eventsPage(main) {
  const table = eventTable(true), note = el("span", { class: "dim", role: "status" });
  const open = el("input", { type: "checkbox", id: "only-open" }), search = el("input", { type: "search", placeholder: "Van, signal or channel  ( / )", "aria-label": "Find an event", id: "search" });
  open.checked = memory.open; search.value = memory.text;
  const all = el("button", { type: "button", id: "ack-all", onclick: async () => { all.disabled = true; for (const event of chosen().filter((e) => e.acked === null)) { try { await acknowledge(event.id); } catch { break; } } all.disabled = false; } }, "Acknowledge all shown");
  main.append(el("h1", {}, "Events"), el("div", { class: "bar" }, search, el("label", {}, open, " only what nobody acknowledged"), all, note), el("div", { class: "card" }, table.node));
  function chosen() {
    const text = memory.text.toLowerCase(), out = [];
    for (const event of [...fleet.events.values()].sort((a, b) => b.received - a.received)) {
      if (memory.open && event.acked !== null) continue;
      if (text && !`${event.van} ${event.signal} ${event.channel}`.toLowerCase().includes(text)) continue;
      out.push(event);
      if (out.length >= SHOWN_MAX) break;
    }
    return out;
  }
  function refresh() { const list = chosen(); table.set(list); note.textContent = `${list.length} shown of the newest ${fleet.events.size}`; }
  open.addEventListener("change", () => { memory.open = open.checked; refresh(); });
  search.addEventListener("input", () => { memory.text = search.value; refresh(); });
  const unwatch = watch((change) => { if (change.events?.length || change.acked || change.first) refresh(); });
  const timer = setInterval(refresh, 10000);
  refresh();
  return { close() { unwatch(); clearInterval(timer); }, search };
}
