// The form of an upgrade or a revert. With all available hosts selected, their checkboxes are checked but not sent: one
// field represents them, because a form may not have thousands of fields.

const free = document.getElementById("which-free");
const ticked = document.getElementById("which-ticked");
const all = document.getElementById("choose-all-hosts");
const boxes = [...document.querySelectorAll('input[name="hosts"]:not(:disabled)')];

const chooseAll = () => {
  for (const box of boxes) {
    box.checked = true;
    box.disabled = true;
  }
  look();
};

const chooseSome = () => {
  for (const box of boxes) box.disabled = false;
  look();
};

const look = () => {
  const number = boxes.filter((box) => box.checked).length;
  all.disabled = free.checked;
  all.checked = number > 0 && number === boxes.length;
  all.indeterminate = number > 0 && !all.checked;
};

const obey = () => (free.checked ? chooseAll() : chooseSome());

if (all) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    look();
  });
  free.addEventListener("change", obey);
  ticked.addEventListener("change", obey);
  all.form.addEventListener("submit", () => {
    free.checked ||= boxes.length > 0 && boxes.every((box) => box.checked);
    obey();
  });
  document.addEventListener("change", (event) => event.target.name === "hosts" && look());
  // After a navigation back, browsers restore the selection.
  window.addEventListener("pageshow", obey);
}
