// The script of the board. Every page works without it, by reloading. With it,
//
// - what changes arrives as server-sent events and is put in place: focus, half-typed text, selection, open details and
//   scroll stay (Live, Patch);
// - forms are sent in the background, and a refusal stands beside its form (Forms);
// - keys move through the rows, and rows are dragged to another place (Keys, Drag);
// - times count, and the browser tells when something new needs a person (Times, Notices).
//
// The server renders everything that is shown. The script knows elements by these marks alone:
//
//   id, data-live           an element that the server sends again when it has changed
//   data-keep               its content is not part of such a change; a form with it keeps what is written when it is sent
//   data-feature="12"       a row that is dragged by what is draggable in it
//   data-move               the form in it whose field `before` takes the feature before which it is dropped
//   data-alert="id"         the element where the form's refusal is shown
//   data-relative="…"       a time that counts: `ago`, and without that word `since` it, or `left` until it
//   data-ends="time"        a meter of the seconds that are left
//   data-notices            the button that turns notices on and off
//   id="keys"               the dialog that lists the keys, with the box that turns them off
//   id="connection"         where a lost connection is reported

/** @template {Element} T @param {string} selector @param {new () => T} type @param {ParentNode} root */
const all = (selector, type, root = document) =>
  /** @type {T[]} */ ([...root.querySelectorAll(selector)].filter((found) => found instanceof type));

/** @param {EventTarget | null} target @param {string} selector @returns {HTMLElement | null} */
const around = (target, selector) => (target instanceof Element ? target.closest(selector) : null);

// --- Live: the stream of changes --------------------------------------------------------------------------------------

const PATIENCE = 3_500; // milliseconds without a sign of the server, which sends one every two seconds
const KEY_IS_OLD = "The board has let in another browser, or has forgotten this one: open the address that it printed.";
const { root = "", here = location.pathname } = document.body.dataset;

/** @type {EventSource | undefined} */
let stream;
let lastSign = Date.now();
let isBroken = false;
let isUnknown = false; // the server does not know the key of this browser
let trouble = ""; // why the server cannot read the backlog

/** Opens the stream, unless nobody would see what it brings. */
function connect() {
  if (stream || (document.hidden && !watches())) return;
  stream = new EventSource(`${root}/live?page=${encodeURIComponent(here)}`);
  if (!isBroken) lastSign = Date.now();
  for (const kind of ["open", "beat"]) on(kind, () => {});
  on("patch", patch);
  on("counts", (data) => count(JSON.parse(data)));
  on("trouble", (data) => (trouble = JSON.parse(data).text));
  stream.addEventListener("error", () => {
    isBroken = true;
    if (stream?.readyState === EventSource.CLOSED) reconnect(); // otherwise the browser itself comes back
    sayConnection();
  });
}

/** @param {string} kind @param {(data: string) => void} act */
function on(kind, act) {
  stream?.addEventListener(kind, (event) => {
    lastSign = Date.now();
    isBroken = false;
    act(event.data);
    sayConnection();
  });
}

function disconnect() {
  stream?.close();
  stream = undefined;
}

/** Comes back after the server has refused the stream, unless it has a new key. */
async function reconnect() {
  disconnect();
  isUnknown = await fetch(location.href, { method: "HEAD" }).then(isClosed, () => false);
  if (isUnknown) sayConnection();
  else setTimeout(connect, 2_000);
}

/** @param {Response} answer */
const isClosed = (answer) => answer.status === 403 && !answer.headers.get("Content-Type")?.startsWith(FRAGMENT);

/** Says since when there has been no connection, or what else is wrong with it. */
function sayConnection() {
  const since = new Date(lastSign).toLocaleTimeString([], { timeStyle: "short" });
  const lost = `Not connected since ${since}: the page shows the state of then, and comes back by itself.`;
  const isLost = isBroken || (stream && Date.now() - lastSign > PATIENCE);
  const text = isUnknown ? KEY_IS_OLD : isLost ? lost : trouble;
  const place = document.getElementById("connection");
  if (place && place.textContent !== text) place.textContent = text;
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) connect();
  else if (!watches()) disconnect();
});

// --- Patch: changed elements are put in place -------------------------------------------------------------------------

/** Puts each element of `html` in the place of the one with its id. @param {string} html */
export function patch(html) {
  const sent = parse(html);
  const coming = new Set([...sent.querySelectorAll("[id]")].map((one) => one.id));
  const active = document.activeElement;
  const place = focusedRow();
  for (const fresh of [...sent.children]) {
    const known = document.getElementById(fresh.id);
    if (known) morph(known, fresh, coming);
  }
  tick();
  if (!(active instanceof HTMLElement) || active === document.activeElement) return;
  if (active.isConnected) active.focus({ preventScroll: true }); // it was moved by a browser without moveBefore
  else if (place >= 0) focusRow(place); // its row is gone: the next one takes the focus
}

/** @param {string} html */
function parse(html) {
  return Object.assign(document.createElement("template"), { innerHTML: html }).content;
}

/**
 * Makes an element equal to a fresh one, except for what a person does there.
 *
 * @param {Element} known
 * @param {Element} fresh
 * @param {Set<string>} coming the ids in the whole patch
 */
function morph(known, fresh, coming) {
  if (known.nodeName !== fresh.nodeName) return known.replaceWith(fresh);
  if (known instanceof HTMLFormElement && isEdited(known)) return;
  for (const { name } of [...known.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) known.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && known.getAttribute(name) !== value) known.setAttribute(name, value);
  }
  if (!fresh.matches("[data-live] [data-keep]")) morphChildren(known, fresh, coming);
}

/**
 * Gives an element the children of a fresh one. A child with an id is known by it, wherever it was; the others are known
 * by their order and kind.
 *
 * @param {Element} parent
 * @param {Element} fresh
 * @param {Set<string>} coming the ids in the whole patch
 */
function morphChildren(parent, fresh, coming) {
  const isList = [...fresh.children].every(idOf); // the space between its rows does not count
  const isSpace = (/** @type {Node} */ node) => isList && !(node instanceof Element || node.nodeValue?.trim());
  const anonymous = [...parent.childNodes].filter((child) => !isSpace(child) && !idOf(child));
  const wanted = [...fresh.childNodes].filter((child) => !isSpace(child)).map((child) => {
    const id = idOf(child);
    const place = id ? -1 : anonymous.findIndex((one) => one.nodeName === child.nodeName);
    const known = id ? document.getElementById(id) : anonymous[place];
    anonymous.splice(0, place + 1);
    if (!known || known.nodeName !== child.nodeName) return child;
    if (known instanceof Element && child instanceof Element) morph(known, child, coming);
    else if (known.nodeValue !== child.nodeValue) known.nodeValue = child.nodeValue;
    return known;
  });
  for (const child of [...parent.childNodes]) {
    if (!wanted.includes(child) && !coming.has(idOf(child))) remove(child);
  }
  arrange(parent, wanted);
}

/** @param {Node} node */
const idOf = (node) => (node instanceof Element ? node.id : "");

/** Removes a node, or marks it while it holds what a person is writing. @param {ChildNode} node */
function remove(node) {
  if (node instanceof HTMLElement && all("form", HTMLFormElement, node).some(isEdited)) node.dataset.gone = "";
  else node.remove();
}

/** Orders children in few moves: each disturbs scroll and selection. @param {Element} parent @param {ChildNode[]} nodes */
function arrange(parent, nodes) {
  let place = parent.firstChild;
  for (const node of nodes) {
    if (place !== node && place?.nextSibling === node) place = node; // the one before it has another place, or is gone
    if (place === node) place = node.nextSibling;
    else if (node.isConnected && "moveBefore" in parent) parent.moveBefore(node, place);
    else parent.insertBefore(node, place);
  }
}

/** Tells whether a person has begun to fill in a form: it is theirs until they send it. @param {HTMLFormElement} form */
function isEdited(form) {
  return [...form.elements].some((field) => {
    if (field instanceof HTMLInputElement && field.checked !== field.defaultChecked) return true;
    if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) return field.value !== field.defaultValue;
    if (!(field instanceof HTMLSelectElement)) return false;
    const options = [...field.options];
    return !options.some((option) => option.defaultSelected)
      ? field.selectedIndex > 0
      : options.some((option) => option.selected !== option.defaultSelected);
  });
}

// --- Forms: sent in the background ------------------------------------------------------------------------------------

const FRAGMENT = "text/vnd.dibs.fragment";

const sending = new WeakSet(); // forms that are on their way

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.method !== "post") return;
  if (new FormData(form).get("back") !== here) return; // it leads to another page
  event.preventDefault();
  if (!sending.has(form)) send(form, event.submitter);
});

/** @param {HTMLFormElement} form @param {HTMLElement | null} button */
async function send(form, button) {
  sending.add(form);
  try {
    const answer = await fetch(button?.getAttribute("formaction") ?? form.getAttribute("action") ?? here, {
      method: "POST",
      headers: { Accept: FRAGMENT },
      body: new URLSearchParams([...new FormData(form, button)].map(([name, value]) => [name, String(value)])),
    });
    if (isClosed(answer)) return refuse(form, KEY_IS_OLD);
    if (answer.ok) {
      if (!("keep" in form.dataset)) form.reset();
      refuse(form, "");
    }
    const html = await answer.text();
    patch(html);
    if (answer.ok) return;
    around(form, "details")?.setAttribute("open", ""); // the refusal is shown in it
    if (!form.isConnected) refuse(form, parse(html).textContent); // its row has gone in the meantime
  } catch {
    refuse(form, "Not sent: the board cannot be reached.");
  } finally {
    sending.delete(form);
  }
}

/** Shows why a form was not sent, or nothing. @param {HTMLFormElement} form @param {string} why */
function refuse(form, why) {
  const own = form.isConnected && document.getElementById(form.dataset.alert ?? "");
  const alert = own || document.getElementById("alert");
  if (alert) alert.textContent = why;
}

// --- Keys -------------------------------------------------------------------------------------------------------------

const ROWS = ".card, tbody tr, .events > li";
const OPERABLE = "a[href], summary, button, input:not([type=hidden]), select, textarea";

const rows = () => all(ROWS, HTMLElement);

/** Focuses what opens a row, or its first field. @param {number} place */
function focusRow(place) {
  const row = rows()[Math.min(Math.max(place, 0), rows().length - 1)];
  if (row) (all("a[href]", HTMLElement, row)[0] ?? all(OPERABLE, HTMLElement, row)[0])?.focus();
}

const focusedRow = () => rows().findIndex((row) => row.contains(document.activeElement));

const search = all("input[type=search]", HTMLElement)[0];

/** @type {Record<string, () => void>} */
const KEYS = {
  j: () => focusRow(focusedRow() + 1),
  k: () => focusRow(focusedRow() - 1),
  "/": () => (search ? search.focus() : location.assign(`${root}/board#filter-text`)),
  "?": () => all("#keys", HTMLDialogElement)[0]?.showModal(),
};

document.addEventListener("keydown", (event) => {
  const field = around(event.target, "input, textarea, select");
  if (event.key === "Escape") field?.blur();
  const act = KEYS[event.key];
  if (!act || field || event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem("keys") === "off") return;
  event.preventDefault();
  act();
});

for (const box of all("#keys input[type=checkbox]", HTMLInputElement)) {
  box.checked = localStorage.getItem("keys") !== "off";
  box.addEventListener("change", () => localStorage.setItem("keys", box.checked ? "on" : "off"));
}

// --- Drag: a row is dropped before another ----------------------------------------------------------------------------

/** @type {HTMLElement | null} */
let dragged = null;

document.addEventListener("dragstart", (event) => {
  dragged = around(around(event.target, "[draggable=true]"), "[data-feature]");
  if (!dragged || !event.dataTransfer) return;
  event.dataTransfer.setData("text/plain", dragged.innerText); // Firefox drags nothing without it
  event.dataTransfer.setDragImage(dragged, 0, 0);
});

document.addEventListener("dragover", (event) => {
  const target = around(event.target, "[data-feature]");
  if (dragged && target) event.preventDefault(); // a drop is welcome here
  mark(dragged && target !== dragged ? target : null);
});

document.addEventListener("dragend", () => {
  dragged = null;
  mark(null);
});

document.addEventListener("drop", (event) => {
  const target = around(event.target, "[data-feature]");
  const form = dragged && all("form[data-move]", HTMLFormElement, dragged)[0];
  const before = form?.elements.namedItem("before");
  if (!form || !target || target === dragged || !(before instanceof HTMLInputElement)) return;
  event.preventDefault();
  before.value = target.dataset.feature ?? "";
  form.requestSubmit();
});

/** Marks the row before which a drop would put the dragged one. @param {HTMLElement | null} target */
function mark(target) {
  for (const row of all("[data-drop]", HTMLElement)) if (row !== target) delete row.dataset.drop;
  if (target) target.dataset.drop = "";
}

// --- Notices: the browser tells when something new needs a person -----------------------------------------------------

/** @type {number | undefined} */
let needed;
let isFirst = false; // one tab of this browser gives the notices

const wantsNotices = () => Notification.permission === "granted" && localStorage.getItem("notices") === "on";
const watches = () => isFirst && wantsNotices(); // also while the tab is hidden

/** Shows the counts in the title, and tells of what is new. @param {{ title: string, needs_you: number }} counts */
function count({ title, needs_you }) {
  document.title = title;
  trouble = "";
  if (watches() && needs_you > (needed ?? needs_you)) {
    new Notification(title, { body: "Something new needs you.", tag: "dibs" }).onclick = () => window.focus();
  }
  needed = needs_you;
}

for (const button of all("button[data-notices]", HTMLButtonElement)) {
  const show = () => button.setAttribute("aria-pressed", String(wantsNotices()));
  button.addEventListener("click", async () => {
    localStorage.setItem("notices", wantsNotices() ? "off" : "on");
    await Notification.requestPermission(); // asks once; later it returns what was answered
    show();
  });
  button.hidden = false;
  show();
}

navigator.locks.request("notices", () => {
  isFirst = true;
  connect();
  return new Promise(() => {}); // until the tab is closed
});

// --- Times ------------------------------------------------------------------------------------------------------------

const UNITS = /** @type {const} */ ([["day", 86_400], ["h", 3_600], ["min", 60]]);

/** Words a length of time in its two largest units: `20 s`, `3 h 5 min`, `2 days 4 h`. @param {number} seconds */
function span(seconds) {
  let left = Math.max(0, Math.trunc(seconds));
  const place = UNITS.findIndex(([, size]) => left >= size);
  if (place < 0) return `${left} s`;
  const parts = UNITS.slice(place, place + 2).map(([name, size]) => {
    const number = Math.trunc(left / size);
    left %= size;
    return number && `${number} ${name}${name === "day" && number > 1 ? "s" : ""}`;
  });
  return parts.filter(Boolean).join(" ");
}

/** Counts the times, and looks at the connection. */
function tick() {
  for (const time of all("time[data-relative]", HTMLTimeElement)) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1_000;
    const { relative } = time.dataset;
    const ago = seconds < 0 ? `in ${span(-seconds)}` : `${span(seconds)} ago`;
    const text = relative === "since" ? span(seconds) : relative === "left" ? span(-seconds) : ago;
    if (time.textContent !== text) time.textContent = text;
    time.title ||= new Date(time.dateTime).toLocaleString();
  }
  for (const meter of all("meter[data-ends]", HTMLMeterElement)) {
    meter.value = (Date.parse(meter.dataset.ends ?? "") - Date.now()) / 1_000;
  }
  sayConnection();
}

setInterval(tick, 1_000);
tick();
connect();
