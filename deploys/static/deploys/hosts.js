// The form of an upgrade or a revert: one box that ticks every host that can be deployed to.

const all = document.getElementById("choose-all-hosts");
const boxes = () => [...document.querySelectorAll('input[name="hosts"]:not(:disabled)')];

const look = () => {
  const number = boxes().filter((box) => box.checked).length;
  all.checked = number > 0 && number === boxes().length;
  all.indeterminate = number > 0 && !all.checked;
};

if (all) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    look();
  });
  document.addEventListener("change", (event) => event.target.name === "hosts" && look());
  // A browser that comes back to the page remembers the boxes.
  window.addEventListener("pageshow", look);
}
