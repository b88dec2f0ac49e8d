// Refreshes the page of a task after each event of the task's stream. Without a stream, the page polls.
const events = new EventSource(document.currentScript.dataset.events);
const changed = () => document.dispatchEvent(new Event("panel:refresh"));
events.addEventListener("job", changed);
events.addEventListener("line", changed);
events.addEventListener("end", () => {
  events.close();
  changed();
});
