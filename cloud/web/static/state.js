// What the page knows of the fleet, fed by one stream of changes. Times of the server (Unix ms); its clock counts, not ours.
// up: null before the first word of the server, then whether its stream is there. ready: the server has read all that Kafka holds.
import { project } from "./map.js";

export const fleet = { vans: new Map(), events: new Map(), tracks: new Map(), config: { stale_after_s: 30, silent_after_s: 15, tile_url: null, title: "Vantel" }, offset: 0, up: null, ready: false };
const EVENTS_MAX = 2000, TRACK_MAX = 300, TRACKED_MAX = 500;
const watchers = new Set();
let leave = null;

export const now = () => Date.now() + fleet.offset;
export function watch(fn) { watchers.add(fn); return () => watchers.delete(fn); }
const tell = (change) => { for (const fn of watchers) fn(change); };

export function van(row) {
  const lat = row[5] ?? null, lon = row[6] ?? null;
  return { id: row[0], heard: row[1], session: row[2], open: row[3], worst: row[4], lat, lon, xy: lat === null || lon === null ? null : project(lat, lon), speed: row[7] ?? null, flags: row[8], bytes: row[9], placed: row[10] ?? null };
}
// unknown: never heard; left: said goodbye; lost: its connection broke; live or stale by the age of what we heard last; cut: the
// page itself hears nothing, so that nobody can say here how the van is now
export function stateOf(item, at = now()) {
  return fleet.up === false ? "cut" : lastStateOf(item, at);
}
export function lastStateOf(item, at = now()) {
  if (item.session === "") return "unknown";
  if (item.session !== "up") return item.session;
  return at - item.heard > fleet.config.stale_after_s * 1000 ? "stale" : "live";
}
function take(news) {
  fleet.offset = news.now - Date.now();
  fleet.ready = news.ready;
  if (!fleet.up) { fleet.up = true; news.link = true; }
  if (news.first) { fleet.vans.clear(); fleet.events.clear(); }
  for (const row of news.rows || []) {
    const item = Object.assign(fleet.vans.get(row[0]) ?? { key: row[0].toLowerCase() }, van(row)); // who holds a van holds it for good
    fleet.vans.set(item.id, item);
    if (item.xy) {
      let track = fleet.tracks.get(item.id);
      if (!track && fleet.tracks.size < TRACKED_MAX) fleet.tracks.set(item.id, track = []);
      if (track) {
        const last = track[track.length - 1];
        if (!last || last[0] !== item.lat || last[1] !== item.lon) track.push([item.lat, item.lon]);
        if (track.length > TRACK_MAX) track.shift();
      }
    }
  }
  for (const event of news.events || []) {
    fleet.events.delete(event.id);
    fleet.events.set(event.id, event);
    if (fleet.events.size > EVENTS_MAX) fleet.events.delete(fleet.events.keys().next().value);
  }
  tell(news);
}
// A stream of the server, for as long as it is wanted. The browser opens one that broke again; we open it anew when its answer was
// refused, as a proxy does whose server is away, and when it says nothing for longer than a living one would. Returns what ends it.
export function stream(path, heard, lost) {
  let source, last;
  const open = () => {
    source?.close();
    source = new EventSource(path);
    last = performance.now();
    source.onmessage = (message) => { last = performance.now(); heard(JSON.parse(message.data)); };
    source.onerror = lost;
  };
  const look = () => {
    const silent = performance.now() - last > fleet.config.silent_after_s * 1000;
    if (silent) lost();
    if (silent || source.readyState === EventSource.CLOSED) open();
  };
  const timer = setInterval(look, 1000);
  open();
  return () => { clearInterval(timer); source.close(); };
}
function lost() { if (fleet.up !== false) { fleet.up = false; tell({ link: true }); } }
export function connect() { leave ??= stream("api/stream", take, lost); }
export function disconnect() { leave?.(); leave = null; lost(); }
async function request(path, options) {
  let answer, body;
  try { answer = await fetch(path, options); body = await answer.json(); } catch { throw new Error(AWAY); }
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}
export const AWAY = "the page's server does not answer";
export const ask = (path) => request(path, { headers: { Accept: "application/json" } });
export async function acknowledge(id) {
  const body = await request(`api/events/${encodeURIComponent(id)}/ack`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  const event = fleet.events.get(id);
  if (event) event.acked = body.acked;
  tell({ acked: id, events: [] });
}
