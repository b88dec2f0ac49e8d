// Has the job's part of the page fetched anew whenever the server says that the job has changed.
// Where a stream cannot be had, the page asks every few seconds by itself (see job.html).
const events = new EventSource(document.currentScript.dataset.events);
const changed = () => document.body.dispatchEvent(new Event("job-changed"));
events.addEventListener("job", changed);
events.addEventListener("line", changed);
events.addEventListener("end", () => {
  events.close();
  changed();
});
