// What every page does about its forms and its requests. Our content security policy allows no inline scripts.

// An error of a request that a part of the page has made: the server says where it is to be shown.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.isError && event.detail.xhr.getResponseHeader("HX-Retarget")) event.detail.shouldSwap = true;
});

// A form is sent once, however often its button is pressed. The server sees to it as well, by the form's key.
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
  // Only afterwards: the button that was pressed is a field of the form, and one that is disabled is not sent.
  setTimeout(() => {
    for (const button of buttons(form)) {
      if (!button.disabled) {
        button.disabled = true;
        button.dataset.wasSent = "";
      }
    }
  });
});

// A browser that comes back to the page shows it as it was left.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[data-was-sent]")) {
    button.disabled = false;
    delete button.dataset.wasSent;
    sent.delete(button.form);
  }
});
