// What the page knows of the fleet, fed by one stream of changes. Times of the server (Unix ms); its clock counts, not ours.
import { project } from "./map.js";

export const fleet = { vans: new Map(), events: new Map(), tracks: new Map(), config: { stale_after_s: 30, tile_url: null, title: "Vantel" }, offset: 0, up: false, first: false };
const EVENTS_MAX = 2000, TRACK_MAX = 300, TRACKED_MAX = 500;
const watchers = new Set();
let source = null;

export const now = () => Date.now() + fleet.offset;
export function watch(fn) { watchers.add(fn); return () => watchers.delete(fn); }
const tell = (change) => { for (const fn of watchers) fn(change); };

export function van(row) {
  const lat = row[5] ?? null, lon = row[6] ?? null;
  return { id: row[0], heard: row[1], session: row[2], open: row[3], worst: row[4], lat, lon, xy: lat === null || lon === null ? null : project(lat, lon), speed: row[7] ?? null, flags: row[8], bytes: row[9], placed: row[10] ?? null };
}
// unknown: never heard; left: said goodbye; lost: its connection broke; live or stale by the age of what we heard last
export function stateOf(item, at = now()) {
  if (item.session === "") return "unknown";
  if (item.session !== "up") return item.session;
  return at - item.heard > fleet.config.stale_after_s * 1000 ? "stale" : "live";
}
function take(news) {
  fleet.offset = news.now - Date.now();
  if (news.first) { fleet.first = true; fleet.vans.clear(); fleet.events.clear(); }
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
export function connect() {
  if (source) return;
  source = new EventSource("api/stream");
  source.onopen = () => { fleet.up = true; tell({ link: true }); };
  source.onerror = () => { fleet.up = false; tell({ link: true }); };
  source.onmessage = (message) => take(JSON.parse(message.data));
}
export function disconnect() { source?.close(); source = null; fleet.up = false; tell({ link: true }); }
export async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}
export async function acknowledge(id) {
  const answer = await fetch(`api/events/${encodeURIComponent(id)}/ack`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  const event = fleet.events.get(id);
  if (event) event.acked = body.acked;
  tell({ acked: id, events: [] });
}
