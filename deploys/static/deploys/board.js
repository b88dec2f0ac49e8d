// The cell of the host whose log is shown is marked at once; the panel of the cells follows with its next refresh.
document.addEventListener("click", (event) => {
  const cell = event.target.closest("[data-board] .cell");
  if (!cell) return;
  for (const other of cell.closest("[data-board]").querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
  cell.setAttribute("aria-current", "true");
});

// With many batches, the column of that host is brought into view.
document.querySelector("[data-board] [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
