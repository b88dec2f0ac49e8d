// The behavior of forms and requests on every page. It is a file, because the Content-Security-Policy allows no inline scripts.

// A form is sent once, even if its button is pressed repeatedly. The form key ensures this on the server, too.
const sent = new WeakSet();
const buttons = (form) => [...form.elements].filter((element) => element.type === "submit");

document.addEventListener("submit", (event) => {
  const form = event.target;
  // What is carried out without leaving the page can be sent again, as for the next row of a table.
  if (form.method !== "post" || form.matches("[data-act]") || event.defaultPrevented) return;
  if (sent.has(form)) {
    event.preventDefault();
    return;
  }
  sent.add(form);
  // After the submission, because the pressed button is a field of the form, and disabled fields are not sent.
  setTimeout(() => {
    for (const button of buttons(form)) {
      if (!button.disabled) {
        button.disabled = true;
        button.dataset.wasSent = "";
      }
    }
  });
});

// After a navigation back, browsers show the page in the state in which it was left.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[data-was-sent]")) {
    button.disabled = false;
    delete button.dataset.wasSent;
    sent.delete(button.form);
  }
});

// What needs a script shows itself, and what stands in for it hides.
document.documentElement.classList.add("scripted");

// A choice with data-submit sends its form at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

// On narrow screens, the navigation opens over the page; Escape, a press beside it or its button closes it.
const opener = document.getElementById("open-sidebar");
const showSidebar = (isOpen) => {
  document.body.classList.toggle("sidebar-is-open", isOpen);
  opener.setAttribute("aria-expanded", String(isOpen));
  if (isOpen) document.querySelector("#sidebar a").focus();
  else opener.focus();
};
if (opener) {
  const isOpen = () => document.body.classList.contains("sidebar-is-open");
  opener.addEventListener("click", () => showSidebar(!isOpen()));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isOpen()) showSidebar(false);
  });
  document.addEventListener("click", (event) => {
    if (isOpen() && !event.target.closest("#sidebar, #open-sidebar")) showSidebar(false);
  });
}

// Groups of the navigation stay as they were left.
for (const group of document.querySelectorAll("details[data-remember]")) {
  if (localStorage.getItem(group.dataset.remember) === "closed") group.open = false;
  group.addEventListener("toggle", () => localStorage.setItem(group.dataset.remember, group.open ? "open" : "closed"));
}

// A menu closes by a press beside it, by Escape, and when another one opens.
const closeMenus = (except) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
};
document.addEventListener("click", (event) => {
  closeMenus(event.target.closest("details.menu"));
});
// It closes, too, when the focus leaves it by the keyboard, except for a question that it has opened.
document.addEventListener("focusin", (event) => {
  if (!event.target.closest("dialog")) closeMenus(event.target.closest("details.menu"));
});
// A question that a menu has opened is a part of it, so the menu closes after it. While a question is open, the rest of the
// page is out of reach, for the keyboard and for screen readers: a popover alone would leave it within reach.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches("dialog[popover]")) return;
  if (event.newState === "closed") closeMenus();
  if (event.newState === "open") event.target.setAttribute("aria-modal", "true");
  else event.target.removeAttribute("aria-modal");
}, true);
document.addEventListener("keydown", (event) => {
  const dialog = event.key === "Tab" && document.querySelector("dialog:popover-open");
  if (!dialog) return;
  const fields = [...dialog.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea")];
  const reachable = fields.filter((field) => !field.disabled && field.checkVisibility());
  const [first, last] = [reachable[0], reachable.at(-1)];
  const isInside = dialog.contains(document.activeElement) && document.activeElement !== dialog;
  if (isInside && document.activeElement !== (event.shiftKey ? first : last)) return;
  event.preventDefault();
  (event.shiftKey ? last : first)?.focus();
});

// Screen readers say what has happened where nothing but the look of the page tells it.
function announce(text) {
  const place = document.getElementById("announcement");
  if (!place || !text) return;
  place.textContent = "";
  // A text that is the same as the one before is said again.
  setTimeout(() => { place.textContent = text; }, 50);
}
// The frame of a table would cut off the menu of a row, so it is placed over the page while it is open.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches(".scrolled details.menu")) return;
  const list = event.target.querySelector(".menu-list");
  // An open list is left alone when its panel refreshes.
  list.toggleAttribute("data-keep", event.target.open);
  if (!event.target.open) return list.removeAttribute("style");
  const button = event.target.getBoundingClientRect();
  list.style.position = "fixed";
  const below = button.bottom + 2, above = button.top - list.offsetHeight - 2;
  list.style.top = `${below + list.offsetHeight > innerHeight && above > 0 ? above : below}px`;
  list.style.left = `${Math.max(8, button.right - list.offsetWidth)}px`;
  list.style.right = "auto";
}, true);
document.addEventListener("scroll", () => {
  if (document.querySelector(".menu-list[data-keep]:not(:has(:popover-open))")) closeMenus();
}, { capture: true, passive: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const menu = document.activeElement?.closest("details.menu[open]");
    closeMenus();
    menu?.querySelector("summary").focus();
  }
  const isTyping = event.target.matches("input, select, textarea, [contenteditable]");
  if ((event.key === "/" && !isTyping) || (event.key === "k" && (event.metaKey || event.ctrlKey))) {
    const search = document.getElementById("global-search");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  }
});

// A field with data-when="protocol=tcp,udp" is there while another field of its form has one of these values. Otherwise, it is
// not sent, so that a value left in it is not refused. Without a script, all fields are there.
function showConditionalFields(root) {
  for (const place of root.querySelectorAll("[data-when]")) {
    const [name, values] = place.dataset.when.split("=");
    const chosen = new FormData(place.closest("form")).get(name);
    place.hidden = !values.split(",").includes(chosen ?? "");
    for (const control of place.querySelectorAll("input, select, textarea")) control.disabled = place.hidden;
  }
}
document.addEventListener("change", (event) => {
  if (event.target.form) showConditionalFields(event.target.form);
});
window.addEventListener("pageshow", () => showConditionalFields(document));
document.addEventListener("panel:refreshed", (event) => showConditionalFields(event.detail));

// Filters apply as they change: a selection at once, a text when it has not changed for a while.
let typing = null;
const apply = (form) => {
  for (const field of form.elements) if (field.name && field.value === "") field.disabled = true;
  form.submit();
};
document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.matches("[data-apply]") && event.target.name && event.target.matches("select, [type=checkbox], [type=radio], [type=date]")) apply(form);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-apply]")) return;
  event.preventDefault();
  apply(event.target);
});
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-apply]");
  if (!form || event.target.type !== "search") return;
  clearTimeout(typing);
  typing = setTimeout(() => {
    sessionStorage.setItem("focus", event.target.name);
    apply(form);
  }, 600);
});
const wasTyping = sessionStorage.getItem("focus");
if (wasTyping) {
  sessionStorage.removeItem("focus");
  const field = document.querySelector(`form[data-apply] [name="${CSS.escape(wasTyping)}"]`);
  field?.focus();
  field?.setSelectionRange?.(field.value.length, field.value.length);
}

// Times show how long ago they are, and their full form while the pointer rests on them.
const relative = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto", style: "short" });
const UNITS = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];
function showRelativeTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
    const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
    time.textContent = relative.format(Math.trunc(seconds / length), unit);
  }
}
showRelativeTimes(document);
setInterval(() => showRelativeTimes(document), 20_000);
document.addEventListener("panel:refreshed", (event) => showRelativeTimes(event.detail));

// Texts are copied, and their lines wrapped or not.
async function copy(button, text) {
  await navigator.clipboard.writeText(text);
  button.classList.add("done");
  announce(document.getElementById("announcement")?.dataset.copied);
  setTimeout(() => button.classList.remove("done"), 1500);
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-text]");
  if (button) copy(button, button.dataset.copyText ?? document.getElementById(button.dataset.copy).textContent);
});
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-wrap]")) return;
  event.target.closest(".log-view").querySelector("pre").classList.toggle("unwrapped", !event.target.checked);
});

// What destroys data asks for the name of what it destroys.
document.addEventListener("input", (event) => {
  const expected = event.target.dataset.equals;
  if (expected === undefined) return;
  event.target.setCustomValidity(event.target.value.trim() === expected ? "" : event.target.dataset.message ?? expected);
});

// The rows of a list are selected one by one, or all of the page at once; the bar of actions counts them.
const bar = document.getElementById("bulk");
if (bar) {
  const boxes = () => [...document.querySelectorAll('[form="bulk"][name="ids"]')];
  const countSelected = () => {
    const all = document.getElementById("choose-all");
    const number = boxes().filter((box) => box.checked).length;
    for (const place of document.querySelectorAll("[data-selected]")) place.textContent = number;
    if (!all) return;
    all.hidden = false;
    all.checked = number > 0 && number === boxes().length;
    all.indeterminate = number > 0 && !all.checked;
  };
  document.addEventListener("change", (event) => {
    if (event.target.id === "choose-all") for (const box of boxes()) box.checked = event.target.checked;
    if (event.target.id === "choose-all" || event.target.name === "ids") countSelected();
  });
  document.addEventListener("panel:refreshed", countSelected);
  document.addEventListener("selection:clear", () => {
    for (const box of boxes()) box.checked = false;
    countSelected();
  });
  // A browser that goes back to the page keeps the boxes as they were.
  window.addEventListener("pageshow", countSelected);
}

// A table that fits into the page scrolls with it, so that its head stays below the top bar; a wider one scrolls in its frame.
const measureFit = (frame) => {
  frame.dataset.fit = frame.querySelector(":scope > table").offsetWidth > frame.clientWidth ? "no" : "yes";
};
const fits = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.isConnected) measureFit(target.matches("table") ? target.parentElement : target);
});
function watchFits() {
  for (const table of document.querySelectorAll(".scrolled > table")) {
    if (!table.parentElement.dataset.fit) measureFit(table.parentElement);
    fits.observe(table);
    fits.observe(table.parentElement);
  }
}
watchFits();
document.addEventListener("panel:refreshed", watchFits);

// A log that is followed shows its end, unless its reader has scrolled up; its lines stay wrapped or not, as chosen.
const readAbove = new WeakSet();
document.addEventListener("scroll", ({ target: log }) => {
  if (!log.closest?.("[data-follow]")) return;
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 8) readAbove.delete(log);
  else readAbove.add(log);
}, true);
function followLogs() {
  for (const box of document.querySelectorAll("[data-wrap]")) {
    box.closest(".log-view").querySelector("pre").classList.toggle("unwrapped", !box.checked);
  }
  for (const log of document.querySelectorAll("[data-follow] pre")) {
    if (!readAbove.has(log)) log.scrollTop = log.scrollHeight;
  }
}
followLogs();
document.addEventListener("panel:refreshed", followLogs);
