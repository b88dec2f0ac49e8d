// Zooms a drawing inside its frame. The drawing itself scales, so no style attribute is needed.
const MIN_SCALE = 0.25, MAX_SCALE = 3, STEP = 1.25;

for (const tools of document.querySelectorAll("[data-zoom]")) {
  const frame = document.getElementById(tools.dataset.zoom);
  const svg = frame.querySelector("svg");
  const { width, height } = svg.viewBox.baseVal;
  let scale = 1;

  // The middle of the visible part stays where it is.
  const zoom = (wanted) => {
    const next = Math.min(MAX_SCALE, Math.max(MIN_SCALE, wanted));
    const x = (frame.scrollLeft + frame.clientWidth / 2) / scale;
    const y = (frame.scrollTop + frame.clientHeight / 2) / scale;
    svg.setAttribute("width", Math.round(width * next));
    svg.setAttribute("height", Math.round(height * next));
    scale = next;
    frame.scrollLeft = x * scale - frame.clientWidth / 2;
    frame.scrollTop = y * scale - frame.clientHeight / 2;
  };
  const steps = {
    in: () => zoom(scale * STEP),
    out: () => zoom(scale / STEP),
    fit: () => zoom(Math.min(frame.clientWidth / width, 1)),
    reset: () => zoom(1),
  };
  const keys = { "+": "in", "=": "in", "-": "out", 0: "fit" };

  tools.addEventListener("click", (event) => steps[event.target.closest("[data-step]")?.dataset.step]?.());
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    steps[keys[event.key]]();
  });
  tools.hidden = false;
}
