// The page: four views, what stands above and below them, and what happens when the server is gone.

import * as api from "./api";
import { CalibrateView } from "./calibrate";
import { CompareView } from "./compare";
import { el } from "./dom";
import { ExploreView } from "./explore";
import { FaceView } from "./face";
import { filesOf } from "./pictures";

type Name = "face" | "compare" | "explore" | "calibrate";

const TITLES: [Name, string][] = [["face", "Face"], ["compare", "Compare"], ["explore", "Explore"], ["calibrate", "Calibrate"]];

const banner = el("div", { className: "banner", role: "alert", hidden: true });

function failed(error: unknown): string {
  if (error instanceof api.Refused) return capital(error.message);
  if (error instanceof api.Gone) return "The server does not answer; this goes on when it is back.";
  console.error(error);
  return "Something went wrong in this page; load it again.";
}

const capital = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`.replace(/\.\.$/, ".");

let known: Promise<api.Limits> | null = null;
function limits(): Promise<api.Limits> {
  known ??= api.limits().catch((error: unknown) => {
    known = null;
    throw error;
  });
  return known;
}

const face = new FaceView(limits, failed);
const compare = new CompareView(limits, failed);
const explore = new ExploreView(failed);
const calibrate = new CalibrateView(failed, (id) => void Promise.all([face.calibrations(id), compare.calibrations(id)]));
const views = { face, compare, explore, calibrate };
let current: Name = "face";

const tabs = TITLES.map(([name, title]) => el("button", {
  type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => show(name),
}, title));

function show(name: Name): void {
  if (name !== current) {
    if (current === "face") face.left();
    if (current === "calibrate") calibrate.left();
  }
  current = name;
  TITLES.forEach(([one], i) => {
    const on = one === name;
    tabs[i].setAttribute("aria-selected", String(on));
    tabs[i].tabIndex = on ? 0 : -1;
    views[one].panel.hidden = !on;
  });
  if (name === "explore") explore.shown();
}

function build(): void {
  const list = el("div", { role: "tablist", "aria-label": "Views" }, ...tabs);
  list.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    const next = (TITLES.findIndex(([name]) => name === current) + by + TITLES.length) % TITLES.length;
    show(TITLES[next][0]);
    tabs[next].focus();
  });
  for (const [name] of TITLES) {
    const { panel } = views[name];
    panel.id = `panel-${name}`;
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `tab-${name}`);
  }
  document.getElementById("page")!.replaceWith(
    el("header", {}, el("h1", {}, "mien"), list),
    banner,
    el("main", {}, ...TITLES.map(([name]) => views[name].panel)),
    el("footer", {}, "Images and webcam frames go from this page to the server on this machine and nowhere else; neither keeps them. "
      + "Face codes are biometric data: have the consent of the people shown."));
  show("face");
}

function watchServer(): void {
  api.watch((state) => {
    if (state === "here") banner.hidden = true;
    else if (state === "gone") {
      banner.hidden = false;
      banner.replaceChildren("The server does not answer. Is its command still running? This page goes on when it is back.");
    } else askForToken();
  });
}

function askForToken(): void {
  if (!banner.hidden && banner.querySelector("input")) return;
  const input = el("input", { type: "password", id: "token", autocomplete: "off" });
  const form = el("form", { onsubmit: (event: Event) => {
    event.preventDefault();
    api.setToken(input.value.trim());
    banner.hidden = true;
    void start();
  } }, el("label", { htmlFor: "token" }, "This server wants a token; mien view prints an address that holds it. "), input,
  el("button", { type: "submit" }, "Go on"));
  banner.hidden = false;
  banner.replaceChildren(form);
}

async function start(): Promise<void> {
  try {
    const { inputs, table } = await api.shown();
    if (table) {
      await explore.start();
      if (!inputs.length) show("explore");
    }
    await compare.calibrations();
    await face.start(inputs);
  } catch (error) {
    const text = failed(error);
    if (error instanceof api.Gone) void api.whenBack().then(start);
    else if (!(error instanceof api.Refused && error.code === "unauthorized")) {
      banner.hidden = false;
      banner.replaceChildren(text);
    }
  }
}

document.addEventListener("paste", (event) => {
  if ((event.target as HTMLElement).closest("input")) return;
  const files = filesOf(event.clipboardData);
  if (current === "face" || current === "compare") void views[current].take(files);
});
// A file that is dropped beside its place must not replace the page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());

api.takeToken();
watchServer();
build();
void start();
