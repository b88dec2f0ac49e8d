// The VM list: one box that chooses all, and a count of what is chosen.

const all = document.getElementById("choose-all");
const chosen = document.getElementById("chosen");
const boxes = () => [...document.querySelectorAll('input[name="ids"]')];

const count = () => {
  const number = boxes().filter((box) => box.checked).length;
  chosen.textContent = `${number} ${chosen.dataset.text}:`;
  all.checked = number > 0 && number === boxes().length;
  all.indeterminate = number > 0 && !all.checked;
};

if (all && chosen) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    count();
  });
  document.addEventListener("change", (event) => event.target.name === "ids" && count());
  // A browser that comes back to the page remembers the boxes.
  window.addEventListener("pageshow", count);
}
