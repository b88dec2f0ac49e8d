// Passkeys: the options of the server are given to the browser, and its answer is sent with the form as JSON.

const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const toText = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const withBytes = (list) => (list ?? []).map((one) => ({ ...one, id: toBytes(one.id) }));
// Without TLS there are none, except on the machine itself.
const isKnown = window.PublicKeyCredential !== undefined;

async function createPasskey(options) {
  const { id, rawId, type, response } = await navigator.credentials.create({ publicKey: {
    ...options,
    challenge: toBytes(options.challenge),
    user: { ...options.user, id: toBytes(options.user.id) },
    excludeCredentials: withBytes(options.excludeCredentials),
  } });
  return { id, rawId: toText(rawId), type, response: {
    clientDataJSON: toText(response.clientDataJSON),
    attestationObject: toText(response.attestationObject),
  } };
}

async function usePasskey(options) {
  const { id, rawId, type, response } = await navigator.credentials.get({ publicKey: {
    ...options,
    challenge: toBytes(options.challenge),
    allowCredentials: withBytes(options.allowCredentials),
  } });
  return { id, rawId: toText(rawId), type, response: {
    clientDataJSON: toText(response.clientDataJSON),
    authenticatorData: toText(response.authenticatorData),
    signature: toText(response.signature),
  } };
}

function sendAnswer(form, answer) {
  form.querySelector("[name=passkey]").value = JSON.stringify(answer);
  // The code, which the form asks for otherwise, stays empty.
  form.noValidate = true;
  form.requestSubmit();
}

for (const button of document.querySelectorAll("[data-passkey-check]")) {
  const place = button.closest(".passkey");
  place.hidden = !isKnown;
  button.addEventListener("click", async () => {
    const error = place.querySelector("[role=alert]");
    error.hidden = true;
    try {
      sendAnswer(button.form, await usePasskey(JSON.parse(button.dataset.passkeyCheck)));
    } catch {
      error.hidden = false;
    }
  });
}

for (const form of document.querySelectorAll("[data-passkey-create]")) {
  form.querySelector("[data-passkey-unknown]").hidden = isKnown;
  form.addEventListener("submit", async (event) => {
    if (form.querySelector("[name=passkey]").value) return;
    event.preventDefault();
    event.stopPropagation();
    const error = form.querySelector("[data-passkey-error]");
    error.hidden = true;
    try {
      sendAnswer(form, await createPasskey(JSON.parse(form.dataset.passkeyCreate)));
    } catch {
      error.hidden = false;
    }
  });
}
