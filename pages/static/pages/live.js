// Panels that refresh themselves, and forms that are carried out without leaving the page.
//
// Only what differs is changed in the page: what is open, focused, ticked or typed stays as it is. The server compares the
// ETag of what it sent last, so nothing is sent when nothing has changed.

const BUSY_SECONDS = 1, QUIET_SECONDS = 5, MAX_SECONDS = 60, SKELETON_MILLISECONDS = 200;
const etags = new WeakMap();
const touched = new WeakSet();
let failures = 0;
let timer = null;

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.key || "" : "");

function isTypingIn(form) {
  const active = document.activeElement;
  return form.contains(active) && active.matches("input:not([type=checkbox], [type=radio]), select, textarea");
}

// Change `from` so that it equals `to`, which is used up.
function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeName !== to.nodeName) {
    from.replaceWith(to);
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) {
      from.nodeValue = to.nodeValue;
      highlight(from.parentElement);
    }
    return;
  }
  if (from.nodeName === "TIME" && from.dateTime === to.dateTime) return;
  if (from.nodeName === "FORM" && (touched.has(from) || isTypingIn(from))) return;
  if (from.matches(":popover-open, dialog[open], [data-keep]")) return;
  for (const { name } of [...from.attributes]) {
    const isKept = name === "data-fit" || (name === "open" && from.nodeName === "DETAILS");
    if (!to.hasAttribute(name) && !isKept) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  const value = to.value;  // Read before the children, of which it consists, are moved.
  morphChildren(from, to);
  takeValue(from, to, value);
}

// A field shows what the server has filled in, unless somebody is typing in it.
function takeValue(from, to, value) {
  if (from === document.activeElement || !from.closest("form[data-refresh]")) return;
  if (from.matches("[type=checkbox], [type=radio]")) from.checked = to.checked;
  else if (from.matches("input, select, textarea") && from.value !== value) from.value = value;
}

function morphChildren(from, to) {
  const byKey = new Map([...from.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let cursor = from.firstChild;
  for (const next of [...to.childNodes]) {
    const key = keyOf(next);
    let match = key ? byKey.get(key) : cursor;
    if (!key) while (match && (keyOf(match) || match.nodeName !== next.nodeName)) match = match.nextSibling;
    if (!match) {
      from.insertBefore(next, cursor);
      if (next.nodeType === Node.ELEMENT_NODE) highlight(next);
      continue;
    }
    if (match === cursor) cursor = cursor.nextSibling;
    else from.insertBefore(match, cursor);
    morph(match, next);
  }
  while (cursor) {
    const last = cursor;
    cursor = cursor.nextSibling;
    last.remove();
  }
}

function highlight(element) {
  const row = element?.closest("tr, dd, li, .cell");
  if (!row) return;
  row.classList.remove("changed");
  requestAnimationFrame(() => row.classList.add("changed"));
  row.addEventListener("animationend", () => row.classList.remove("changed"), { once: true });
}

async function refresh(panel) {
  const headers = { "X-Panel": panel.dataset.panel, "HX-Request": "true", "HX-Current-URL": location.href };
  if (etags.has(panel)) headers["If-None-Match"] = etags.get(panel);
  const response = await fetch(location.pathname + location.search, { headers, cache: "no-store" });
  if (response.headers.has("HX-Redirect")) return location.assign(response.headers.get("HX-Redirect"));
  if (response.status === 304) return;
  // What the page shows has been deleted, or may no longer be seen: the whole page says so.
  if (response.status === 404 || response.status === 403) return location.reload();
  if (!response.ok) throw new Error(`${response.status}`);
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  const wanted = parsed.getElementById(panel.id);
  // A frame is allowed by the headers of its page, so the page is loaded again when one appears.
  const isNew = (element) => !panel.querySelector(`[src="${CSS.escape(element.getAttribute("src"))}"]`);
  if (!wanted || [...wanted.querySelectorAll("[data-needs-page]")].some(isNew)) return location.reload();
  etags.set(panel, response.headers.get("ETag"));
  const focused = panel.contains(document.activeElement) ? document.activeElement : null;
  const row = focused?.closest("[id]");
  morph(panel, document.adoptNode(wanted));
  // The focus of an element that is gone, as a button that no longer applies, goes to its row.
  if (focused && !focused.isConnected) {
    const place = document.getElementById(row?.id ?? "") ?? panel;
    (place.querySelector("a, button") ?? place).focus();
  }
  document.dispatchEvent(new CustomEvent("panel:refreshed", { detail: panel }));
}

async function refreshAll() {
  clearTimeout(timer);
  const panels = [...document.querySelectorAll("[data-panel]")];
  if (!panels.length) return;
  if (document.visibilityState === "visible") {
    const results = await Promise.allSettled(panels.map(refresh));
    failures = results.some((result) => result.status === "rejected") ? failures + 1 : 0;
    document.getElementById("offline")?.toggleAttribute("hidden", failures < 3);
  }
  const isBusy = panels.some((panel) => "busy" in panel.dataset);
  const seconds = failures ? Math.min(MAX_SECONDS, 2 ** failures) : isBusy ? BUSY_SECONDS : QUIET_SECONDS;
  clearTimeout(timer);
  timer = setTimeout(refreshAll, seconds * 1000);
}

// Something else that knows of a change, as a stream of events, asks for the panels at once.
document.addEventListener("panel:refresh", () => refreshAll());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") refreshAll();
});
document.addEventListener("input", (event) => {
  if (event.target.form && event.target.type !== "checkbox") touched.add(event.target.form);
});
document.addEventListener("reset", (event) => touched.delete(event.target));

// A form with data-refresh follows what is entered: the server shows it anew, with the choices that depend on a field, and a
// summary. data-refresh is the name of the field that asks for this in a POST; if it is empty, the form's address is read with
// the fields as its query, when a field with data-reload changes.
let refreshing = null;
let waiting = null;
async function refreshForm(form) {
  refreshing?.abort();
  refreshing = new AbortController();
  const body = new FormData(form);
  const headers = { "HX-Request": "true", "HX-Current-URL": location.href };
  const options = { headers, signal: refreshing.signal };
  let address = form.action;
  if (form.dataset.refresh) {
    body.append(form.dataset.refresh, "1");
    Object.assign(options, { method: "POST", body });
  } else {
    for (const name of ["csrfmiddlewaretoken", "form_key"]) body.delete(name);
    address += `?${new URLSearchParams(body)}`;
  }
  try {
    const response = await fetch(address, options);
    if (response.headers.has("HX-Redirect")) return location.assign(response.headers.get("HX-Redirect"));
    if (!response.ok) return;
    const wanted = new DOMParser().parseFromString(await response.text(), "text/html").getElementById(form.id);
    if (wanted) morphChildren(form, document.adoptNode(wanted));
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}
const refreshSoon = (event, milliseconds) => {
  const form = event.target.closest("form[data-refresh]");
  if (!form || (!form.dataset.refresh && !event.target.matches("[data-reload]"))) return;
  clearTimeout(waiting);
  waiting = setTimeout(() => refreshForm(form), milliseconds);
};
document.addEventListener("change", (event) => refreshSoon(event, event.target.matches("[data-reload]") ? 0 : 300));
document.addEventListener("input", (event) => refreshSoon(event, 700));

// Links within data-in-panels select what the panels show: the address changes, and the panels are read from it. The panel that
// is named there shows a skeleton when its new content takes a while.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("[data-in-panels] a[href]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  history.replaceState(null, "", link.href);
  const name = link.closest("[data-in-panels]").dataset.inPanels;
  // Or the answer could be that nothing has changed, and the skeleton would stay.
  etags.delete(document.getElementById(`panel-${name}`));
  const late = setTimeout(() => showSkeleton(name), SKELETON_MILLISECONDS);
  await refreshAll();
  clearTimeout(late);
});

function showSkeleton(name) {
  const panel = document.getElementById(`panel-${name}`);
  const skeleton = document.querySelector(`template[data-skeleton="${CSS.escape(name)}"]`);
  if (panel && skeleton) panel.replaceChildren(skeleton.content.cloneNode(true));
}

// A form with data-act is carried out without leaving the page; the answer is shown above the page, and panels follow at once.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-act]") || event.defaultPrevented) return;
  event.preventDefault();
  const button = event.submitter;
  if (button?.ariaDisabled === "true") return;
  const address = button?.hasAttribute("formaction") ? button.formAction : form.action;
  const body = new FormData(form, button);
  const row = button?.closest("tr[id]")?.id;
  if (button) button.ariaDisabled = "true";
  try {
    const headers = { "HX-Request": "true", "HX-Current-URL": location.href };
    const response = await fetch(address, { method: "POST", body, headers });
    if (response.headers.has("HX-Redirect")) return location.assign(response.headers.get("HX-Redirect"));
    if (response.headers.has("HX-Refresh")) return location.reload();
    const text = await response.text();
    if (text.trim()) document.getElementById("messages").innerHTML = text;
    form.closest("dialog[popover]")?.hidePopover();
    touched.delete(form);
    await refreshAll();
    // Without a message, the new state is what is to be heard.
    if (!text.trim() && button) announceState(row);
  } finally {
    if (button) button.ariaDisabled = null;
  }
});

function announceState(row) {
  const place = row ? document.getElementById(row) : document.querySelector("main h1");
  const badge = place?.querySelector(".badge");
  const name = row ? place?.querySelector(".name, td:not(.choose)")?.textContent.trim() : "";
  if (badge) announce([name, badge.textContent].filter(Boolean).join(": "));
}

setTimeout(refreshAll, document.querySelector("[data-panel][data-busy]") ? 300 : QUIET_SECONDS * 1000);
