// What makes the pages lively. Everything can be read without it.
"use strict";

const nonce = document.querySelector('meta[name="style-nonce"]').content;

// --- ageing: «nobody has accepted yet 3:12» --------------------------------------------------------------------------------------

function spell(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function age() {
  for (const time of document.querySelectorAll("time[data-since]")) {
    time.textContent = spell((Date.now() - Date.parse(time.dataset.since)) / 1000);
  }
}

// --- the tab's title counts emergencies that nobody has taken --------------------------------------------------------------------

const title = document.title;

function count() {
  const held = document.querySelector("[data-waiting]");
  const waiting = held ? Number(held.dataset.waiting) : 0;
  document.title = waiting ? `(${waiting}) ${title}` : title;
  const badge = document.querySelector(".count");
  if (badge) [badge.textContent, badge.hidden] = [waiting, !waiting];
}

// --- recordings: a drawn wave over the browser's own player ----------------------------------------------------------------------

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

async function draw(player) {
  player.dataset.drawn = "yes";
  const answer = await fetch(player.dataset.peaks);
  if (!answer.ok) return;
  const peaks = await answer.json();
  const loudest = Math.max(peaks.full_scale / 8, ...peaks.left, ...peaks.right);
  const scaled = (side) => side.map((peak) => peak / loudest);
  const common = { height: 36, barWidth: 2, barGap: 1, barRadius: 2, normalize: false };
  const wave = WaveSurfer.create({
    container: player.querySelector(".wave"),
    media: player.querySelector("audio"),
    peaks: [scaled(peaks.left), scaled(peaks.right)],
    duration: Number(player.dataset.seconds),
    cursorColor: color("--ink"),
    cspNonce: nonce,
    splitChannels: [
      { ...common, waveColor: color("--left"), progressColor: color("--left-played") },
      { ...common, waveColor: color("--right"), progressColor: color("--right-played") },
    ],
  });
  wave.on("ready", () => { player.classList.add("drawn"); markGaps(player, peaks); });
  wave.on("interaction", () => wave.play());
  player.wave = wave;
  controls(player, wave);
}

// Where the recording was paused: what was said there was not kept.
function markGaps(player, peaks) {
  for (const [from, to] of peaks.gaps ?? []) {
    const gap = document.createElement("span");
    gap.className = "gap";
    gap.title = player.dataset.gap;
    gap.style.left = `${(100 * from) / peaks.seconds}%`;
    gap.style.width = `${(100 * (to - from)) / peaks.seconds}%`;
    player.querySelector(".wave").append(gap);
  }
}

const SPEEDS = [1, 1.5, 2, 0.75];

function controls(player, wave) {
  const [play, speed, now] = [".play", ".speed", ".now"].map((part) => player.querySelector(part));
  const listen = play.getAttribute("aria-label");
  player.querySelector(".controls").hidden = false;
  player.querySelector("audio").hidden = true;
  play.addEventListener("click", () => wave.playPause());
  speed.addEventListener("click", () => {
    const next = SPEEDS[(SPEEDS.indexOf(wave.getPlaybackRate()) + 1) % SPEEDS.length];
    wave.setPlaybackRate(next, true);
    speed.textContent = `${String(next).replace(".", ",")}×`;
  });
  const shown = (playing) => {
    play.textContent = playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", playing ? play.dataset.pause : listen);
  };
  wave.on("play", () => shown(true));
  wave.on("pause", () => shown(false));
  wave.on("finish", () => shown(false));
  wave.on("timeupdate", (at) => { now.textContent = spell(at); });
}

function players() {
  if (typeof WaveSurfer === "undefined") return;
  for (const player of document.querySelectorAll(".player:not([data-drawn])")) draw(player);
}

// One recording at a time.
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);

// --- new and changed tickets light up for a moment -------------------------------------------------------------------------------

let known = null;

function fresh() {
  const now = new Map([...document.querySelectorAll(".ticket")].map((row) => [row.id, row.className + row.querySelector(".who").textContent.replace(/[\d:]+/g, "")]));
  if (known) {
    for (const [id, state] of now) {
      if (known.get(id) === state) continue;
      const row = document.getElementById(id);
      row.classList.remove("fresh");
      void row.offsetWidth;
      row.classList.add("fresh");
    }
  }
  known = now;
}

for (const form of document.querySelectorAll("form[data-submit-on-change]")) {
  form.addEventListener("change", () => form.requestSubmit());
}

function refresh() {
  age();
  count();
  players();
  if (document.querySelector(".tickets")) fresh();
}

document.addEventListener("htmx:sse:after:message", refresh);
document.addEventListener("htmx:sse:after:connection", () => document.documentElement.classList.remove("cut"));
document.addEventListener("htmx:sse:error", (event) => {
  document.documentElement.classList.add("cut");
  if (event.detail.status === 401) location.reload(); // signed out elsewhere: the page leads to the sign-in
});
refresh();
setInterval(age, 1000);
