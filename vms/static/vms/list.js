// The VM list: one box that chooses all, a count of what is chosen, and an export for the tenant that the page shows.

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

// A link cannot say for which tenant; the API wants that of who belongs to several.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-tenant]");
  if (!link) return;
  event.preventDefault();
  const answer = await fetch(link.href, { headers: { "X-Tenant": link.dataset.tenant, Accept: "text/csv" } });
  if (!answer.ok) {
    window.location = link.href;
    return;
  }
  const file = document.createElement("a");
  file.href = URL.createObjectURL(await answer.blob());
  file.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") || "")?.[1] || "vms.csv";
  file.click();
  URL.revokeObjectURL(file.href);
});
