// The behavior of forms and requests on every page. It is a file, because the Content-Security-Policy allows no inline scripts.

// The server tells in HX-Retarget where the page shows the error of an htmx request.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.isError && event.detail.xhr.getResponseHeader("HX-Retarget")) event.detail.shouldSwap = true;
});

// A form is sent once, even if its button is pressed repeatedly. The form key ensures this on the server, too.
const sent = new WeakSet();
const buttons = (form) => [...form.elements].filter((element) => element.type === "submit");

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post") || event.defaultPrevented) return;
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
