"""A passkey in a real browser, with a device that the browser simulates: added, used at a sign-in, removed."""

from __future__ import annotations

from playwright.sync_api import expect

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def add_device(page):
    """Give the browser a device for passkeys; return the session that controls it, and the id of the device."""
    control = page.context.new_cdp_session(page)
    control.send("WebAuthn.enable")
    return control, control.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})["authenticatorId"]


def test_a_passkey_is_added_used_and_removed(sign_in):
    page = sign_in("bruno")
    control, device = add_device(page)
    page.goto("/preferences/second-factor/")
    page.get_by_role("link", name="Add passkey").click()
    page.fill("[name=name]", "Work laptop")
    page.get_by_role("button", name="Add passkey").click()
    expect(page.locator(".recovery-codes li")).to_have_count(10)
    page.get_by_role("link", name="Done").click()
    expect(page.locator("tbody")).to_contain_text("Work laptop")

    page.locator("#user-menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/login/")
    page.fill("[name=username]", "bruno")
    page.fill("[name=password]", "demo")
    page.click("main button")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/overview/")

    # The same device is not added twice: the browser refuses, and the page says so.
    page.goto("/preferences/second-factor/passkeys/new/")
    page.get_by_role("button", name="Use a passkey").click()
    page.fill("[name=name]", "Again")
    page.get_by_role("button", name="Add passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("No passkey was created")

    page.goto("/preferences/second-factor/")
    page.get_by_role("link", name="Remove passkey Work laptop").click()
    control.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_text("The passkey Work laptop was removed.")).to_be_visible()
    expect(page.get_by_role("link", name="Add passkey")).to_be_visible()


def test_a_device_that_is_not_there_is_told_and_a_code_is_asked_for(sign_in):
    page = sign_in("oscar")
    control, device = add_device(page)
    page.goto("/preferences/second-factor/passkeys/new/")
    page.fill("[name=name]", "Key")
    page.get_by_role("button", name="Add passkey").click()
    code = page.locator(".recovery-codes code").first.inner_text()
    control.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": device})
    add_device(page)  # Another one, which does not know the key.

    page.goto("/preferences/second-factor/")
    page.get_by_role("link", name="Remove passkey Key").click()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("No passkey was used")
    page.fill("[name=code]", code)
    page.get_by_role("button", name="Remove passkey").click()
    expect(page.get_by_text("The passkey Key was removed.")).to_be_visible()
