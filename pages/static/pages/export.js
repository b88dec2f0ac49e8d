// Downloads exports for the tenant of the page.
// The API needs the header X-Tenant from members of several tenants, and a plain link cannot send headers.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-tenant]");
  if (!link) return;
  event.preventDefault();
  const answer = await fetch(link.href, { headers: { "X-Tenant": link.dataset.tenant, Accept: "text/csv" } });
  if (answer.status === 401) {
    // The session has ended. The reload redirects to the sign-in page, and back.
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
