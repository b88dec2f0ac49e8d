// The fields of an account's credentials follow the type of credential. Without this script, all of them are shown.
const kind = document.getElementById("account-credential_kind");

// The label's text, without the mark of a required field.
const setLabel = (name, text) => {
  document.querySelector(`label[for="account-${name}"]`).firstChild.nodeValue = `${text} `;
};

const showFields = () => {
  const { access, secret } = kind.selectedOptions[0].dataset;
  setLabel("access_id", access);
  setLabel("secret", secret);
  for (const field of document.querySelectorAll(".for-password")) {
    // A field with an error is never hidden.
    field.hidden = kind.value !== "password" && !field.classList.contains("refused");
  }
};

kind.addEventListener("change", showFields);
// A browser that goes back to the page keeps the choice.
window.addEventListener("pageshow", showFields);
showFields();
