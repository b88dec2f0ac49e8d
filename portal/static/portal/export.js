// Exports for the tenant that the page shows.
// A link cannot say for which tenant; the API wants that of who belongs to several.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-tenant]");
  if (!link) return;
  event.preventDefault();
  const answer = await fetch(link.href, { headers: { "X-Tenant": link.dataset.tenant, Accept: "text/csv" } });
  if (answer.status === 401) {
    // The session has ended: the page itself leads to the sign-in, and back.
    window.location.reload();
    return;
  }
  if (!answer.ok) {
    window.location = link.href;
    return;
  }
  const file = document.createElement("a");
  file.href = URL.createObjectURL(await answer.blob());
  file.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") || "")?.[1] || "export.csv";
  file.click();
  URL.revokeObjectURL(file.href);
});
