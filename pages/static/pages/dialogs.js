// Links and buttons with data-dialog open the form of their address in the page's dialog. Without this script they open as
// pages. A button sends its own form with it, as the ids of the selected rows.
//
// A form that was carried out redirects to a page, whose messages are shown here; one that was refused comes back with its
// errors and is shown in the dialog again.

const formDialog = document.getElementById("form-dialog");
const FORM_SKELETON_MILLISECONDS = 200;
let openedBy = null;
// Counts the forms that were asked for, so that one that arrives after the dialog was closed does not open it again.
let asked = 0;

function showForm(html) {
  formDialog.innerHTML = html;
  if (!formDialog.open) formDialog.showModal();
  (formDialog.querySelector("[aria-invalid=true], [autofocus]") ?? formDialog.querySelector("input:not([type=hidden]), select, textarea, button"))?.focus();
}

function showMessages(html) {
  const place = document.getElementById("messages");
  place.innerHTML = html;
  place.scrollIntoView({ block: "nearest" });
}

const kept = sessionStorage.getItem("messages");
if (kept) {
  sessionStorage.removeItem("messages");
  showMessages(kept);
}

async function ask(address, options = {}, isWanted = () => true) {
  const headers = { "HX-Request": "true", "HX-Current-URL": location.href, "X-Dialog": "true" };
  const response = await fetch(address, { cache: "no-store", ...options, headers });
  if (response.headers.has("HX-Redirect")) return location.assign(response.headers.get("HX-Redirect"));
  const text = await response.text();
  if (!isWanted()) return;
  if (response.redirected) {
    const messages = new DOMParser().parseFromString(text, "text/html").getElementById("messages")?.innerHTML ?? "";
    if (new URL(response.url).pathname !== location.pathname || !document.querySelector("[data-panel]")) {
      // The page that was fetched has shown the messages, so the server does not send them again.
      sessionStorage.setItem("messages", messages);
      return location.assign(response.url);
    }
    formDialog?.close();
    showMessages(messages);
    // After a refusal one tries again with the same rows.
    if (!document.querySelector("#messages .error")) document.dispatchEvent(new CustomEvent("selection:clear"));
    document.dispatchEvent(new CustomEvent("panel:refresh"));
  } else if (response.headers.has("HX-Retarget")) {
    formDialog?.close();
    showMessages(text);
  } else showForm(text);
}

document.addEventListener("click", (event) => {
  if (event.target.closest("#form-dialog [data-close]")) {
    event.preventDefault();
    formDialog.close();
    return;
  }
  const link = event.target.closest("a[data-dialog], button[data-dialog]");
  if (!link || !formDialog || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  const menu = link.closest("details.menu");
  openedBy = menu?.querySelector("summary") ?? link;
  if (menu) menu.open = false;
  openForm(link);
});

// The dialog opens with a skeleton when its form takes a while.
async function openForm(link) {
  const number = ++asked;
  const [address, options] = link.form ? [link.formAction, { method: "POST", body: new FormData(link.form, link) }] : [link.href, {}];
  const late = setTimeout(() => {
    formDialog.replaceChildren(document.getElementById("form-dialog-skeleton").content.cloneNode(true));
    formDialog.showModal();
  }, FORM_SKELETON_MILLISECONDS);
  try {
    await ask(address, options, () => number === asked);
  } catch (error) {
    // Without an answer, the address opens as a page, which says why.
    if (number === asked && link.form) link.form.requestSubmit(link);
    else if (number === asked) location.assign(address);
    throw error;
  } finally {
    clearTimeout(late);
  }
}

if (formDialog) {
  formDialog.addEventListener("submit", async (event) => {
    event.preventDefault();
    // Or the frame's guard against sending twice would keep a form that is shown again from being sent.
    event.stopPropagation();
    const button = event.submitter;
    if (button?.ariaDisabled === "true") return;
    if (button) button.ariaDisabled = "true";
    try {
      // The attribute, as the property is hidden by a field with the name "action".
      await ask(event.target.getAttribute("action"), { method: "POST", body: new FormData(event.target, button) });
    } finally {
      if (button) button.ariaDisabled = null;
    }
  });
  formDialog.addEventListener("close", () => {
    asked += 1;
    formDialog.replaceChildren();
    // A row may have been replaced or deleted while its form was open.
    (openedBy?.isConnected ? openedBy : document.querySelector("main a.primary, main h1, #main"))?.focus();
    document.dispatchEvent(new CustomEvent("panel:refresh"));
  });
}
