// Events as a table with the numbers that made them fire, and the button that acknowledges one.
import { age, clock, el, emptyState, measured, number, plural, say, short, stamp } from "./dom.js";
import { acknowledge, fleet, now, watch } from "./state.js";

const SHOWN_MAX = 300;
const memory = { open: true, text: "" };

export function eventRow(event, withVan, fail) {
  const value = (v) => (v === null ? "no number" : measured(v, event.unit));
  const button = el("button", { type: "button", "data-ack": event.id, onclick: async () => { button.disabled = true; try { await acknowledge(event.id); } catch (cause) { button.disabled = false; fail(`not acknowledged: ${cause.message}`); } } }, "Acknowledge");
  const done = event.acked !== null;
  return el("tr", { class: done ? "acked" : now() - event.received < 5000 ? "fresh" : "", "data-event": event.id },
    el("td", { title: stamp(event.t) }, `${age(now() - event.t)} ago`),
    withVan ? el("td", {}, el("a", { href: `#/van/${encodeURIComponent(event.van)}` }, event.van)) : null,
    el("td", {}, el("span", { class: `sev ${event.severity}` }, event.severity)),
    el("td", { class: "wide" }, event.signal, event.injected ? el("span", { class: "tag", title: "made by a fault injector" }, `injected: ${event.injected}`) : null),
    el("td", { class: "hide-phone" }, event.channel),
    el("td", { class: "n value", title: number(event.value) }, value(event.value)),
    el("td", { class: "n wants", title: number(event.expected) }, value(event.expected)),
    el("td", { class: "n hide-phone", title: `score ${number(event.score)}, threshold ${number(event.threshold)}, detector ${event.detector || "unknown"}` }, `${short(event.score)} > ${short(event.threshold)}`),
    el("td", { class: "ack" }, done ? el("span", { title: stamp(event.acked) }, `✓ ${clock(event.acked)}`) : button));
}
export function eventTable(withVan) {
  const body = el("tbody", {}), said = el("p", { role: "alert", class: "dim" });
  const head = ["When", withVan ? "Van" : null, "Severity", "Signal", "Channel", "Value", "Expected", "Score > threshold", "Acknowledged"].filter(Boolean);
  const numbers = new Set(["Value", "Expected", "Score > threshold"]), none = el("div", {});
  const table = el("table", { class: "events" }, el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col", class: numbers.has(text) ? "n" : "" }, text)))), body);
  const node = el("div", {}, said, el("div", { class: "scroll" }, table), none);
  said.hidden = true;
  const fail = (text) => { said.textContent = text; said.hidden = false; };
  return {
    node, fail,
    // Rows are made anew, but a button that has the focus keeps it: or the next one gets it, for who acknowledges by keyboard.
    set(events, empty) {
      const had = document.activeElement?.closest?.("[data-event]"), at = had && body.contains(had) ? [...body.children].indexOf(had) : -1;
      body.replaceChildren(...events.map((event) => eventRow(event, withVan, fail)));
      if (at >= 0) (body.querySelector(`[data-ack="${had.dataset.event}"]`) ?? body.children[Math.min(at, body.children.length - 1)]?.querySelector("button"))?.focus();
      table.hidden = !events.length;
      none.replaceChildren(...(events.length ? [] : [empty]));
    },
  };
}
export function eventsPage(main) {
  const table = eventTable(true), note = el("span", { class: "dim", role: "status" });
  const open = el("input", { type: "checkbox", id: "only-open" }), search = el("input", { type: "search", placeholder: "Van, signal, channel, severity  ( / )", "aria-label": "Find an event", id: "search" });
  open.checked = memory.open; search.value = memory.text;
  // It cannot be undone, and holds for everybody: the first press asks, the second does it.
  const all = el("button", { type: "button", id: "ack-all", onclick: askOrDo, onblur: () => { asked = null; refresh(); } });
  let asked = null, doing = false;
  async function askOrDo() {
    if (asked === null) { asked = chosen().filter((event) => event.acked === null); refresh(); return; }
    const list = asked;
    doing = true; asked = null;
    for (const event of list) { try { await acknowledge(event.id); } catch (cause) { table.fail(`not acknowledged: ${cause.message}`); break; } }
    doing = false;
    refresh();
  }
  main.append(el("div", { class: "head-line" }, el("h1", {}, "Events"), note), el("div", { class: "bar" }, search, el("label", {}, open, " only what nobody acknowledged"), el("span", { class: "end" }, all)), el("div", { class: "card" }, table.node));
  function chosen() {
    const text = memory.text.toLowerCase(), out = [];
    for (const event of [...fleet.events.values()].sort((a, b) => b.received - a.received)) {
      if (memory.open && event.acked !== null) continue;
      if (text && !`${event.van} ${event.signal} ${event.channel} ${event.severity}`.toLowerCase().includes(text)) continue;
      out.push(event);
      if (out.length >= SHOWN_MAX) break;
    }
    return out;
  }
  function nothing() {
    if (!fleet.events.size) return emptyState("No event", "An event appears here within a second or two of a detector on a van firing.");
    if (memory.text) return emptyState("No event matches", `No ${memory.open ? "open " : ""}event has “${memory.text}” in its van, signal, channel or severity.`);
    return emptyState("Nothing open", "Every event has been acknowledged. Untick the box to see them.");
  }
  function refresh() { const list = chosen(); table.set(list, nothing()); all.disabled = doing || !list.some((event) => event.acked === null); all.classList.toggle("on", asked !== null); say(all, asked === null ? "Acknowledge all shown" : `Press again to acknowledge ${plural(asked.length, "event")}`); note.textContent = `${list.length} shown of the newest ${fleet.events.size}`; }
  open.addEventListener("change", () => { memory.open = open.checked; refresh(); });
  search.addEventListener("input", () => { memory.text = search.value; refresh(); });
  const unwatch = watch((change) => { if (change.events?.length || change.acked || change.first) refresh(); });
  const timer = setInterval(refresh, 10000);
  refresh();
  return { close() { unwatch(); clearInterval(timer); }, search };
}
