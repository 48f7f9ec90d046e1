"""The operator's view: usage, keys and health, for keys with the scope `admin`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

from playwright.sync_api import expect

from tests.gateway.jobs.calls import Caller
from tests.page.conftest import screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    from tests.gateway.providers.providers import Providers
    from tests.page.conftest import Problems


def test_key_without_the_scope_sees_no_operator_view(stranger: Page, problems: Problems, caller: Caller) -> None:
    problems.expect("status of 403")
    created = caller.ask("POST", "/v1/admin/keys", {"tenant": "guests"}).json()
    stranger.add_init_script(f"sessionStorage.setItem('imagegateway.key', {json.dumps(created['key'])})")
    stranger.goto("/")
    expect(stranger.get_by_role("link", name="History")).to_be_visible()
    expect(stranger.get_by_role("link", name="Operator")).to_have_count(0)
    stranger.goto("/#/operator")
    expect(stranger.get_by_role("alert")).to_contain_text("admin")


def test_usage_of_the_gateway_is_shown_by_day_model_key_and_tenant(page: Page, caller: Caller) -> None:
    assert caller.generate(model="openai/gpt-image-2", n=2, size="1024x1024").status == 200
    spent = caller.ask("GET", "/v1/usage?group_by=model").json()
    row = next(row for row in spent["data"] if row["model"] == "openai/gpt-image-2")
    page.goto("/#/operator")
    usage = page.get_by_role("region", name="Usage", exact=True)
    expect(usage.get_by_role("img", name="Spend by day and model")).to_be_visible()
    cells = usage.get_by_role("row", name="openai/gpt-image-2").first.get_by_role("cell")
    expect(cells.nth(1)).to_have_text(f"${row['cost']['amount']:.2f}")
    expect(cells.nth(2)).to_have_text(str(row["images"]))
    usage.get_by_text("Numbers", exact=True).click()
    expect(usage.get_by_role("columnheader", name="openai/gpt-image-2")).to_be_visible()
    screenshot(page, "operator")
    usage.get_by_label("Measure").select_option("Requests")
    usage.get_by_label("Group by").select_option("Key")
    expect(usage.get_by_role("img", name="Requests by day and key")).to_be_visible()
    expect(usage.get_by_role("row", name="IMAGEGATEWAY_API_KEY")).to_be_visible()
    usage.get_by_label("Group by").select_option("Tenant")
    expect(usage.get_by_role("row", name="default").first).to_be_visible()


def test_new_key_works_with_its_limits_until_it_is_revoked(page: Page, caller: Caller) -> None:
    name = f"shop {uuid4()}"
    page.goto("/#/operator")
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("video").uncheck()
    dialog.get_by_label("Models").fill("local/*")
    dialog.get_by_label("Images a minute").fill("30")
    dialog.get_by_label("Budget in USD").fill("2.5")
    dialog.get_by_label("Expires").fill("30d")
    screenshot(page, "operator-new-key")
    dialog.get_by_role("button", name="Create key").click()
    secret = dialog.get_by_label("Key").text_content()
    dialog.get_by_role("button", name="Done").click()
    row = page.get_by_role("row", name=name)
    expect(row).to_contain_text("30 images a minute, models local/*")
    expect(row).to_contain_text("$0.00 of $2.50 a month")
    user = Caller(caller.stack, secret or "")
    assert user.generate().status == 200

    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    page.get_by_label("Show revoked keys").check()
    expect(row).to_contain_text("revoked")
    listed = caller.ask("GET", "/v1/admin/keys?revoked=true").json()["data"]
    key = next(key for key in listed if key.get("name") == name)
    assert key["revoked_at"]
    assert (key["scopes"], key["models"], key["budget"]) == (["generate", "edit", "read"], ["local/*"], 2.5)


def test_new_key_waits_for_the_tenants_that_it_offers(page: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/v1/admin/keys?*", hold)
    with page.expect_request("**/v1/admin/keys?*"):
        page.goto("/#/operator")
    button = page.get_by_role("button", name="New key")
    expect(button).to_be_disabled()
    held[0].continue_()
    button.click()
    expect(page.get_by_role("dialog").get_by_label("Tenant")).not_to_have_value("")


def test_refused_key_names_the_field(page: Page, problems: Problems) -> None:
    problems.expect("status of 400")
    page.goto("/#/operator")
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Expires").fill("soon")
    dialog.get_by_role("button", name="Create key").click()
    expect(dialog.get_by_role("alert")).to_contain_text("expires")
    expect(dialog.get_by_label("Expires")).to_be_focused()


def test_failing_provider_is_shown_with_its_failures(page: Page, caller: Caller, providers: Providers) -> None:
    providers["ideogram"].failures.extend([(500, {"detail": "secret words"}, {})] * 2)
    assert caller.generate(model="ideogram/ideogram-v3", size="1024x1024").status >= 500
    page.goto("/#/operator")
    item = page.get_by_role("listitem").filter(has=page.get_by_text("ideogram", exact=True))
    expect(item).to_contain_text("ideogram/ideogram-v3: circuit closed, 1 failure")
    failures = page.get_by_role("region", name="Recent failures")
    expect(failures.get_by_role("row").nth(1)).to_contain_text("ideogram/ideogram-v3")
    screenshot(page, "operator-failures")
