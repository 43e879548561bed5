// The frame: which page is shown, theme, keys, state of the connection. A hidden tab closes its streams, and so its live view.
import { SEVERITY, plural } from "./dom.js";
import { eventsPage } from "./events.js";
import { fleetPage } from "./fleet.js";
import { ask, connect, disconnect, fleet, watch } from "./state.js";
import { vanPage } from "./van.js";

const main = document.getElementById("main"), link = document.getElementById("link"), problems = document.getElementById("problems"), badge = document.getElementById("open-count");
let page = null;

const go = (hash) => { location.hash = hash; };
function show() {
  page?.close();
  main.replaceChildren();
  const path = location.hash.replace(/^#\/?/, ""), [name, id] = path.split("/");
  for (const a of document.querySelectorAll("nav a")) { const here = a.dataset.page === (name === "events" ? "events" : "fleet"); a.classList.toggle("here", here); if (here) a.setAttribute("aria-current", "page"); else a.removeAttribute("aria-current"); }
  page = name === "van" && id ? vanPage(main, decodeURIComponent(id)) : name === "events" ? eventsPage(main) : fleetPage(main, go);
}
function setTheme(theme) { document.documentElement.dataset.theme = theme; page?.theme?.(); }
const dark = matchMedia("(prefers-color-scheme: dark)");
setTheme(localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => { if (!localStorage.getItem("theme")) setTheme(dark.matches ? "dark" : "light"); });
document.getElementById("theme").addEventListener("click", () => { const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark"; localStorage.setItem("theme", next); setTheme(next); });

watch((change) => {
  link.textContent = fleet.up ? "connected" : "no connection to the page's server: what is shown is old";
  link.classList.toggle("down", fleet.up === false); link.classList.toggle("up", fleet.up === true);
  if (change.problems) { problems.hidden = !change.problems.length; problems.textContent = change.problems.join("; "); }
  if (change.rows) { let open = 0, worst = 0; for (const item of fleet.vans.values()) { open += item.open; worst = Math.max(worst, item.worst); } badge.hidden = !open; badge.textContent = open > 999 ? "999+" : String(open); badge.className = `badge ${SEVERITY[worst]}`; badge.title = `${plural(open, "event")} that nobody acknowledged`; }
});
window.addEventListener("hashchange", show);
document.addEventListener("visibilitychange", () => { if (document.hidden) { disconnect(); page?.pause?.(); } else { connect(); page?.resume?.(); } });
// Escape empties a search; in an empty one it leaves.
function leaveOrClear(e) {
  if (e.target.type !== "search" || !e.target.value) { e.target.blur(); return; }
  e.preventDefault();
  e.target.value = "";
  e.target.dispatchEvent(new Event("input"));
}
document.addEventListener("keydown", (e) => {
  if (["INPUT", "SELECT", "TEXTAREA"].includes(e.target.tagName)) { if (e.key === "Escape") leaveOrClear(e); return; }
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "/") { e.preventDefault(); page?.search?.focus(); }
  else if (e.key === "f") go("#/");
  else if (e.key === "e") go("#/events");
  else if (e.key === "t") document.getElementById("theme").click();
});
ask("api/config").then((config) => { fleet.config = config; document.getElementById("title").textContent = document.title = config.title; }).finally(() => { show(); connect(); });
