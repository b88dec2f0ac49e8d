// Reloads the job's part of the page after each event of the job's stream.
// Without a stream, the page polls every few seconds (see job.html).
const events = new EventSource(document.currentScript.dataset.events);
const changed = () => document.body.dispatchEvent(new Event("job-changed"));
events.addEventListener("job", changed);
events.addEventListener("line", changed);
events.addEventListener("end", () => {
  events.close();
  changed();
});
