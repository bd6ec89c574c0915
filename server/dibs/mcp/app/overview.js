"use strict";
// The page within its client (host). Texts of the backlog are only ever set as text, never as markup.
const main = document.getElementById("main");
const waiting = new Map();
let lastId = 0;

function send(message) {
  window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
}

function ask(method, params) {
  lastId += 1;
  const id = lastId;
  send({ id, method, params });
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function age(time, now) {
  const minutes = Math.max(0, Math.round((Date.parse(now) - Date.parse(time)) / 60000));
  if (minutes < 60) return `${minutes} min`;
  return minutes < 2880 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} days`;
}

async function call(name, given) {
  const result = await ask("tools/call", { name, arguments: given });
  const data = result.structuredContent || {};
  if (result.isError) throw new Error(data.error ? data.error.message : "The call was refused.");
  return data;
}

// One thing that a person is asked for: its element, and a function that returns the answer or undefined.
function input(field, id) {
  if (field.kind === "text" || field.kind === "textarea") {
    const block = element("div");
    const label = element("label", field.label + (field.required ? "" : " (optional)"));
    const box = element(field.kind === "text" ? "input" : "textarea");
    if (field.kind === "text") box.type = "text";
    box.id = label.htmlFor = id;
    box.maxLength = 5000;
    box.required = Boolean(field.required);
    block.append(label, box);
    return [block, () => box.value.trim() || undefined];
  }
  const block = element("fieldset");
  block.append(element("legend", field.label + (field.required ? "" : " (optional)")));
  const options = field.kind === "yes" ? [{ label: "Yes" }, { label: "No" }] : field.options;
  const boxes = options.map((option) => {
    const label = element("label");
    const box = element("input");
    box.type = field.kind === "choices" ? "checkbox" : "radio";
    box.name = id;
    box.value = option.label;
    label.append(box, " ", option.label);
    if (option.description) label.append(element("span", ` ${option.description}`, "quiet"));
    block.append(label);
    return box;
  });
  const other = element("input");
  if (field.open) {
    const label = element("label", "Another answer");
    other.type = "text";
    other.maxLength = 5000;
    other.id = label.htmlFor = `${id}-other`;
    block.append(label, other);
  }
  return [block, () => {
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    const more = other.value.trim();
    if (field.kind === "yes") return chosen.length ? chosen[0] === "Yes" : undefined;
    if (field.kind === "choices") return chosen.length || more ? [...chosen, ...(more ? [more] : [])] : undefined;
    return more || chosen[0];
  }];
}

function question(form, now, mayAnswer) {
  const card = element("li", undefined, "card");
  const about = form.id ? `${form.id} ${form.name || ""}` : `Question ${form.question_id}`;
  card.append(element("h3", about));
  card.append(element("p", `asked ${form.asked_by ? `by ${form.asked_by} ` : ""}${age(form.asked_at, now)} ago`, "quiet"));
  if (form.prompt) card.append(element("p", form.prompt, "text"));
  const fields = form.fields.map((field, place) => [field, ...input(field, `${form.id || `q${form.question_id}`}-${place}`)]);
  for (const [, block] of fields) card.append(block);
  if (!mayAnswer) {
    for (const box of card.querySelectorAll("input, textarea")) box.disabled = true;
    return card;
  }
  const alert = element("p", "", "alert");
  alert.setAttribute("role", "alert");
  const button = element("button", "Answer");
  button.type = "button";
  button.addEventListener("click", async () => {
    const answers = {};
    for (const [field, , read] of fields) {
      const value = read();
      if (value === undefined && field.required) {
        alert.textContent = `“${field.label}” needs an answer.`;
        return;
      }
      if (value !== undefined) answers[field.name] = value;
    }
    button.disabled = true;
    try {
      await call("overview_app_answer", { ...(form.id ? { feature_id: form.id } : { question_id: form.question_id }), answers });
      await refresh();
    } catch (error) {
      alert.textContent = error.message;
      button.disabled = false;
    }
  });
  card.append(button, alert);
  return card;
}

function section(heading, cards) {
  if (!cards.length) return;
  const list = element("ul");
  list.append(...cards);
  main.append(element("h2", heading), list);
}

function render({ overview, forms, may_answer: mayAnswer }) {
  main.replaceChildren(element("h1", overview.project));
  const counts = overview.counts || {};
  const needs = (counts.needs_human || 0) + (counts.stuck || 0) + (counts.unconfirmed || 0);
  const working = counts.in_progress || 0;
  main.append(element("p", `${overview.percent_passing || 0} % of ${overview.total} passing, ${working} in progress`));
  if (!needs && !forms.length) main.append(element("p", "Nothing waits for you."));
  section("Needs you", [
    ...forms.map((form) => question(form, overview.at, mayAnswer)),
    ...(overview.stuck || []).map((one) => {
      const card = element("li", undefined, "card");
      card.append(element("h3", `${one.id} ${one.name}`), element("p", `stuck for ${age(one.since, overview.at)}: ${one.reason}`));
      if (one.last_failure) card.append(element("p", one.last_failure, "text"));
      return card;
    }),
    ...(overview.unconfirmed || []).map((one) => {
      const card = element("li", undefined, "card");
      card.append(element("h3", `${one.id} ${one.name}`), element("p", `passed ${age(one.since, overview.at)} ago, and not confirmed`));
      return card;
    }),
  ]);
  section("At work", (overview.claims || []).map((one) => {
    const card = element("li", undefined, "card");
    card.append(element("h3", `${one.agent}: ${one.id} ${one.name}`), element("p", `for ${age(one.claimed_at, overview.at)}`));
    return card;
  }));
  const again = element("button", "Refresh");
  again.type = "button";
  again.addEventListener("click", refresh);
  main.append(again);
  send({ method: "ui/notifications/size-changed", params: { height: document.documentElement.scrollHeight } });
}

async function refresh() {
  try {
    render(await call("overview_app_read", {}));
  } catch (error) {
    main.append(element("p", error.message, "alert"));
  }
}

function dress(context) {
  if (!context) return;
  if (context.theme) document.documentElement.style.colorScheme = context.theme;
  for (const [name, value] of Object.entries((context.styles && context.styles.variables) || {})) {
    if (name.startsWith("--")) document.documentElement.style.setProperty(name, value);
  }
}

window.addEventListener("message", (event) => {
  if (event.source !== window.parent || !event.data || event.data.jsonrpc !== "2.0") return;
  const { id, method, params, result, error } = event.data;
  if (method === undefined) {
    const { resolve, reject } = waiting.get(id) || {};
    waiting.delete(id);
    if (resolve && error) reject(new Error(error.message));
    else if (resolve) resolve(result);
    return;
  }
  if (method === "ui/notifications/tool-result") refresh();
  if (method === "ui/notifications/host-context-changed") dress(params);
  if (id !== undefined) send({ id, result: {} }); // ping, and ui/resource-teardown
});

ask("ui/initialize", {
  appInfo: { name: "dibs-overview", version: "1" },
  appCapabilities: {},
  protocolVersion: "2026-01-26",
}).then((given) => {
  dress(given && given.hostContext);
  send({ method: "ui/notifications/initialized", params: {} });
  refresh();
});
