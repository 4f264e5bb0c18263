"""The shop in a real browser: with a script and without, on a desk and in a hand."""

# ruff: noqa: RUF001 - letters of many scripts

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import PATIENCE_SECONDS
from playwright.sync_api import Page, expect

from downstream.domain.job import What
from downstream.domain.language import count_words
from downstream.domain.payment import EventKind
from downstream.domain.state import State
from downstream.web.assets import counting_rules

Form = dict[str, Any]
ServeShop = Callable[..., Any]
Visit = Callable[..., Page]

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 568}
STORIES = Path(__file__).parent.parent / "stories"


def fill(page: Page, form: Form) -> None:
    """Types the form as a customer does."""
    for name in ("title", "text", "tone", "style", "notes", "email"):
        page.locator(f"#{name}").fill(form[name])
    for agreement in form["agreed"]:
        page.locator(f"#{agreement}").check()


def shown(page: Page) -> Form:
    """What stands in the form."""
    fields: Form = {
        name: page.locator(f"#{name}").input_value() for name in ("title", "text", "tone", "style", "notes", "email")
    }
    fields["agreed"] = [one for one in ("start_now", "ai_images", "rights") if page.locator(f"#{one}").is_checked()]
    return fields


def typed_of(form: Form) -> Form:
    return {name: form[name] for name in ("title", "text", "tone", "style", "notes", "email", "agreed")}


def move(shop: Any, stream_id: str, source: State, target: State, **history: str) -> None:
    """A stage is over."""
    now = datetime.now(UTC)
    claim = shop.shop.queue.claim(stream_id, source)
    job = claim.job.noting(What.PUBLISHED, at=now, who="test", evidence=history) if history else claim.job
    claim.advance(job, target, at=now, who="test")


def look_again(page: Page, *, has_script: bool) -> None:
    """Somebody without a script need not wait for the page to look by itself."""
    if not has_script:
        page.get_by_role("link", name="Look again now").click()


# --- the whole way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_from_the_first_word_to_the_finished_page(
    serve_shop: ServeShop, till: Any, visit: Visit, filled: Form, size: dict[str, int], *, has_script: bool
) -> None:
    shop = serve_shop(till)
    page = visit(size, java_script_enabled=has_script, has_touch=size is PHONE, is_mobile=size is PHONE)
    page.goto(shop.address)

    # A mistake is explained beside its field, and the way to it is short.
    fill(page, filled | {"email": "nobody"})
    page.get_by_role("button", name="Go to payment").click()
    summary = page.get_by_role("group", name="One thing is still to be put right")
    expect(summary).to_be_focused()
    page.get_by_role("link", name="This is not an e-mail address").click()
    email = page.get_by_label("E-mail")
    expect(email).to_be_focused()
    expect(email).to_have_attribute("aria-invalid", "true")
    expect(email).to_have_accessible_description(re.compile(r"This is not an e-mail address, such as name@example.com"))
    assert shown(page) == typed_of(filled) | {"email": "nobody"}

    # The customer thinks again, comes back, and pays.
    email.fill(filled["email"])
    page.get_by_role("button", name="Go to payment").click()
    expect(page.get_by_role("heading", name="Till")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_text("You came back without paying")).to_be_visible()
    assert shown(page) == typed_of(filled)
    page.get_by_role("button", name="Go to payment").click()
    page.get_by_role("button", name="Pay").click()

    # The status page follows the order.
    expect(page.get_by_role("heading", name="Your order is in")).to_be_visible()
    assert re.fullmatch(f"{shop.address}/orders/[A-Za-z0-9_-]+", page.url)
    assert "Selfish" not in page.content()
    stream_id = shop.shop.orders.find(page.url.rpartition("/")[2]).stream_id
    move(shop, stream_id, State.PENDING, State.PROCESSING)
    look_again(page, has_script=has_script)
    expect(page.get_by_role("heading", name="Your story is in production")).to_be_visible()
    move(shop, stream_id, State.PROCESSING, State.REVIEW)
    look_again(page, has_script=has_script)
    expect(page.get_by_role("heading", name="Your story is looked over")).to_be_visible()
    move(shop, stream_id, State.REVIEW, State.COMPLETED, address="https://story.example/")
    look_again(page, has_script=has_script)
    expect(page.get_by_role("heading", name="Your page is ready")).to_be_visible()
    expect(page.get_by_role("link", name="Open your page")).to_have_attribute("href", "https://story.example/")
    assert len(till.opened) == 1


def test_a_demo_is_made_and_shown_by_the_shop_itself(
    demo: Any, visit: Visit, filled: Form, run: Callable[..., Any]
) -> None:
    page = visit()
    page.goto(demo.address)
    fill(page, filled | {"text": " ".join(filled["text"].split()[:820])})
    page.get_by_role("button", name="Make my demo page").click()
    expect(page.get_by_role("heading", name="Your order is in")).to_be_visible()

    for stage in ("process", "review"):
        ended = run(stage, REVIEW_POLICY="auto")
        assert ended.returncode == 0, ended.stderr

    page.get_by_role("link", name="Open your page").click()
    expect(page.get_by_role("heading", name="The Selfish Giant")).to_be_visible()
    assert page.url.startswith(f"{demo.address}/streams/")
    expect(page.locator("html")).to_have_attribute("data-player", re.compile("."))


# --- what was typed survives -----------------------------------------------------------------------------------


def wait_until_kept(page: Page, text: str) -> None:
    """The browser has put away what was typed last."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while text not in json.dumps(page.evaluate("({...localStorage})")):
        assert time.monotonic() < give_up
        page.wait_for_timeout(50)


def test_what_was_never_sent_is_there_again_after_the_tab_was_closed(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit()
    page.goto(demo.address)
    fill(page, filled)
    wait_until_kept(page, "reader@example.com")
    page.close()

    again = page.context.new_page()
    again.goto(demo.address)

    expect(again.get_by_text("We put back what you typed here earlier")).to_be_visible()
    assert shown(again) == typed_of(filled)
    expect(again.locator("#length")).to_have_text("1,652 words of 800–3,500")

    again.get_by_role("button", name="Drop it").click()
    again.reload()
    assert shown(again)["text"] == ""


def test_once_it_was_sent_the_browser_keeps_no_copy(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit()
    page.goto(demo.address)
    fill(page, filled)
    wait_until_kept(page, "reader@example.com")

    page.get_by_role("button", name="Save and look it over").click()

    expect(page.get_by_text("Saved, and everything is in order.")).to_be_focused()
    assert page.evaluate("({...localStorage})") == {}
    assert shown(page) == typed_of(filled)


def test_what_was_changed_in_a_draft_and_not_sent_is_put_back(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit()
    page.goto(f"{demo.address}/drafts/{demo.begin(filled)}")
    page.locator("#title").fill("A better title")
    wait_until_kept(page, "A better title")

    page.reload()
    assert shown(page)["title"] == "A better title"
    page.get_by_role("button", name="Make my demo page").click()

    expect(page.get_by_role("heading", name="Your order is in")).to_be_visible()
    assert page.evaluate("({...localStorage})") == {}


def test_a_form_that_never_reached_the_server_is_not_lost(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit()
    page.goto(demo.address)
    fill(page, filled)
    page.route("**/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.get_by_role("button", name="Make my demo page").click()
    page.wait_for_url("chrome-error://**")

    page.goto(demo.address)

    assert shown(page) == typed_of(filled)


@pytest.mark.parametrize("failure", ["lost", 413, 502])
def test_a_change_to_a_draft_that_never_reached_the_server_is_not_lost(
    demo: Any, visit: Visit, filled: Form, failure: str | int
) -> None:
    def fail(route: Any) -> None:
        if route.request.method != "POST":
            route.continue_()
        elif isinstance(failure, int):
            route.fulfill(status=failure, content_type="text/html", body="<title>No</title>")
        else:
            route.abort()

    page = visit(refusals=(413, 502))
    place = f"{demo.address}/drafts/{demo.begin(filled)}"
    page.goto(place)
    page.locator("#title").fill("A title that got lost on the way")
    page.route("**/drafts/*", fail)
    page.get_by_role("button", name="Save and look it over").click()
    page.wait_for_url("chrome-error://**" if failure == "lost" else place)
    page.unroute("**/drafts/*")

    page.goto(place)

    expect(page.get_by_text("We put back what you typed here earlier")).to_be_visible()
    assert shown(page)["title"] == "A title that got lost on the way"
    page.get_by_role("button", name="Save and look it over").click()
    expect(page.get_by_text("Saved, and everything is in order.")).to_be_visible()
    assert page.evaluate("({...localStorage})") == {}


def test_another_draft_in_the_same_tab_drops_nothing_that_never_arrived(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit()
    page.goto(demo.address)
    fill(page, filled)
    page.route("**/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.get_by_role("button", name="Make my demo page").click()
    page.wait_for_url("chrome-error://**")

    page.goto(f"{demo.address}/drafts/{demo.begin(filled | {'title': 'Another'})}")
    page.goto(f"{demo.address}/orders/{demo.order(filled | {'title': 'A third'})}")
    page.goto(f"{demo.address}/?new")

    assert shown(page) == typed_of(filled)


def test_what_stripe_tells_of_a_payment_page_drops_nothing_typed(
    serve_shop: ServeShop, till: Any, visit: Visit, filled: Form
) -> None:
    shop = serve_shop(till)
    secret = shop.begin(filled)
    shop.post(f"/drafts/{secret}", filled | {"then": "pay"})
    page = visit()
    page.goto(f"{shop.address}/drafts/{secret}")
    page.locator("#title").fill("A better title")
    wait_until_kept(page, "A better title")

    assert till.tell(next(iter(till.opened)), EventKind.EXPIRED).ok
    page.reload()

    expect(page.get_by_text("We put back what you typed here earlier")).to_be_visible()
    expect(page.get_by_text("Something else was saved since")).to_be_hidden()
    assert shown(page)["title"] == "A better title"


def test_what_was_saved_elsewhere_meanwhile_is_told_and_not_lost_either(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit()
    secret = demo.begin(filled)
    page.goto(f"{demo.address}/drafts/{secret}")
    page.locator("#title").fill("Typed here")
    wait_until_kept(page, "Typed here")

    demo.post(f"/drafts/{secret}", filled | {"title": "Saved elsewhere"})
    page.reload()

    expect(page.get_by_text("Something else was saved since")).to_be_visible()
    assert shown(page)["title"] == "Typed here"
    page.get_by_role("button", name="Drop it").click()
    assert shown(page)["title"] == "Saved elsewhere"


def test_without_a_script_a_closed_tab_leads_back_to_the_draft(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit(java_script_enabled=False)
    page.goto(demo.address)
    fill(page, filled | {"title": ""})
    page.get_by_role("button", name="Make my demo page").click()
    expect(page.get_by_text("One thing is still to be put right")).to_be_visible()
    page.close()

    again = page.context.new_page()
    again.goto(demo.address)

    assert shown(again) == typed_of(filled) | {"title": ""}


def test_reload_and_back_show_the_same_and_send_nothing_twice(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit()
    page.goto(demo.address)
    fill(page, filled | {"title": ""})
    page.get_by_role("button", name="Make my demo page").click()
    expect(page.get_by_text("One thing is still to be put right")).to_be_visible()
    page.reload()
    expect(page.get_by_text("One thing is still to be put right")).to_be_visible()

    page.locator("#title").fill("Now it has one")
    page.get_by_role("button", name="Save and look it over").click()
    expect(page.get_by_text("Saved, and everything is in order.")).to_be_visible()
    page.go_back()

    assert len(list(demo.shop.orders.drafts())) == 1


def test_a_browser_that_forbids_keeping_anything_takes_orders_all_the_same(
    demo: Any, visit: Visit, filled: Form
) -> None:
    page = visit()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }});"
    )
    page.goto(demo.address)
    fill(page, filled)
    page.get_by_role("button", name="Make my demo page").click()

    expect(page.get_by_role("heading", name="Your order is in")).to_be_visible()


# --- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no-script"])
def test_the_text_of_a_file_is_shown_before_it_is_ordered(
    demo: Any, visit: Visit, filled: Form, *, has_script: bool
) -> None:
    page = visit(java_script_enabled=has_script)
    page.goto(demo.address)
    fill(page, filled | {"text": ""})
    page.locator("#file").set_input_files(STORIES / "emberi-jogok.hu.txt")
    page.get_by_role("button", name="Make my demo page").click()

    expect(page.get_by_text("This is the text of your file.")).to_be_focused()
    expect(page.get_by_text("This looks like Magyar.")).to_be_visible()
    assert shown(page)["text"].strip() == (STORIES / "emberi-jogok.hu.txt").read_text("utf-8").strip()

    page.get_by_role("button", name="Make my demo page").click()
    expect(page.get_by_role("heading", name="Your order is in")).to_be_visible()


def test_a_file_that_is_too_large_is_told_beside_its_field_and_never_sent(
    demo: Any, visit: Visit, filled: Form, tmp_path: Path
) -> None:
    large = tmp_path / "story.txt"
    large.write_bytes(b"x" * 5_000_001)
    page = visit()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.resource_type == "document" else None)
    page.goto(demo.address)
    fill(page, filled)
    page.locator("#file").set_input_files(large)

    expect(page.get_by_text("This file is too large (5 MB at most)")).to_be_visible()
    expect(page.locator("#file")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Make my demo page").click()
    expect(page.locator("#file")).to_be_focused()
    assert len(sent) == 1
    assert shown(page) == typed_of(filled)

    page.locator("#file").set_input_files([])
    expect(page.get_by_text("This file is too large")).to_be_hidden()
    page.get_by_role("button", name="Make my demo page").click()
    expect(page.get_by_role("heading", name="Your order is in")).to_be_visible()


# --- length and language ---------------------------------------------------------------------------------------

TEXTS = {
    "en": "It’s a “well-known” co-operation — isn’t it?… 1,024 words; e-mail: a_b@c.example (© 2026)",
    "zh-Hans": "他说:「你好,世界!」2026年,我们 use 电脑。〇々〆",
    "ja": "吾輩は猫である。名前はまだ無い。ﾊﾟｿｺﾝ・コンピューター ー ゛゜",
    "ko": "대한민국(大韓民國)의 모든 권력은 國民으로부터 나온다",
    "th": "กาลครั้งหนึ่งนานมาแล้ว มีแมว 3 ตัว น้ำ ๑๒๓ ฯลฯ",
    "lo": "ໃນສະໄໝກ່ອນ ມີແມວ ນ້ຳ",
    "km": "កាលពីព្រេងនាយ មានឆ្មាមួយ ។ ១២",
    "my": "ရှေးရှေးတုန်းက ကြောင်တစ်ကောင် ရှိခဲ့သည်။",
    "ar": "كان يا ما كان، في قديم الزمان ١٢٣",
    "he": "היה היה פעם – חתול־בית אחד",
    "hi": "एक समय की बात है, एक बिल्ली थी। १२३ श्री",
    "am": "አንድ፡ጊዜ፡ድመት፡ነበረች።",
    "bo": "སྔོན་ཞིག་ན་བྱི་ལ་ཞིག",
    "emoji": "👩\u200d👩\u200d👧 🇭🇺 a👍🏽b ½ ² ⅷ ① \U0001d400\U00020000 \U000e0001",
    "spaces": "a\u00a0b\u2003c\u2028d\u2029e\u0085f\u001cg\ufeffh\u200bi\u3000j\tk\r\nl\u00adm_n_ _o",
}


def test_the_browser_counts_words_as_the_server_does(demo: Any, visit: Visit) -> None:
    dice = random.Random(800)
    alphabet = [
        *"".join(TEXTS.values()),
        *(chr(point) for point in dice.sample(range(0x110000), 4000) if not 0xD800 <= point < 0xE000),
        *(chr(point) for point in range(0x2000, 0x3100)),
        *" \n" * 400,
    ]
    texts = [*TEXTS.values(), *("".join(dice.choices(alphabet, k=200)) for _ in range(300)), "".join(alphabet)]
    texts += [(STORIES / name).read_text("utf-8") for name in ("the-selfish-giant.txt", "emberi-jogok.hu.txt")]
    page = visit()
    page.goto(demo.address)

    for language in ("en", "ko", "KO-Kore", "ja", ""):
        counted = page.evaluate(
            "([rules, texts, language]) => texts.map(text => counter(rules)(text, language))",
            [dict(counting_rules()), texts, language],
        )
        assert counted == [count_words(text, language) for text in texts]


def test_the_length_is_shown_while_one_types_and_said_when_one_rests(demo: Any, visit: Visit) -> None:
    page = visit()
    page.goto(demo.address)
    length = page.locator("#length")
    expect(length).to_have_text("0 words of 800–3,500")

    page.locator("#text").press_sequentially("Once upon")
    expect(length).to_have_text("2 words of 800–3,500")
    expect(page.locator("#length-said")).to_have_text("2 words of 800–3,500")
    page.locator("#text").fill("word " * 1024)
    expect(length).to_have_text("1,024 words of 800–3,500")
    page.locator("#text").fill("字" * 2048)
    expect(length).to_have_text("1,024 words of 800–3,500")


def test_the_language_that_is_found_is_shown_and_can_be_changed(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit()
    page.goto(demo.address)
    fill(page, filled | {"text": (STORIES / "emberi-jogok.hu.txt").read_text("utf-8")})

    expect(page.locator("#found")).to_have_text("This looks like Magyar.")
    expect(page.locator("#text")).to_have_attribute("lang", "hu")
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Save and look it over").click()

    expect(page.get_by_label("Language")).to_have_value("de")
    expect(page.locator("#text")).to_have_attribute("lang", "de")


# --- for everybody ---------------------------------------------------------------------------------------------


def pages_of(shop: Any, filled: Form) -> dict[str, str]:
    """Every kind of page there is."""
    mistaken = shop.begin(
        filled | {"title": "", "text": "Too short", "email": "nobody", "tone": "t" * 400, "agreed": []}
    )
    placed, withdrawn = shop.order(filled), shop.order(filled)
    shop.post(f"/orders/{withdrawn}/withdraw")
    return {
        "empty": "/?new",
        "mistaken": f"/drafts/{mistaken}?checked=1",
        "cancelled": f"/drafts/{mistaken}?cancelled=1",
        "fine": f"/drafts/{shop.begin(filled)}?checked=1",
        "placed": f"/orders/{placed}",
        "withdrawn": f"/orders/{withdrawn}",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(serve_shop: Any, visit: Visit, filled: Form, size: dict[str, int], scheme: str) -> None:
    page, axe = visit(size, color_scheme=scheme), Axe()
    shop = serve_shop(imprint_url="https://a.example/us", terms_url="https://a.example/terms")

    for name, path in pages_of(shop, filled).items():
        page.goto(shop.address + path)
        found = axe.run(page).response["violations"]
        assert [(name, one["id"], [node["target"] for node in one["nodes"]]) for one in found] == []


def test_axe_finds_nothing_on_a_page_that_says_no(demo: Any, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{demo.address}/orders/nothing")

    assert Axe().run(page).response["violations"] == []
    page.close()


@pytest.mark.parametrize("size", [NARROW, PHONE, DESKTOP, {"width": 2560, "height": 1440}])
def test_every_page_fits_and_is_easy_to_hit(serve_shop: Any, visit: Visit, filled: Form, size: dict[str, int]) -> None:
    page, shop = visit(size), serve_shop(imprint_url="https://a.example/us", privacy_url="https://a.example/data")

    for path in pages_of(shop, filled).values():
        page.goto(shop.address + path)
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        for target in page.locator(
            "button:visible, select, input:not([type=checkbox]), .button:visible, .agreement, .foot a"
        ).all():
            box = target.bounding_box()
            assert box
            assert box["height"] >= 44


def test_nothing_jumps_while_the_page_loads(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit(PHONE)
    page.add_init_script(
        "window.shifted = 0; new PerformanceObserver(list => { for (const one of list.getEntries())"
        " if (!one.hadRecentInput) window.shifted += one.value; }).observe({type: 'layout-shift', buffered: true});"
    )

    for path in ("/?new", f"/drafts/{demo.begin(filled)}"):
        page.goto(demo.address + path)
        page.wait_for_timeout(500)
        assert page.evaluate("shifted") < 0.01


def test_the_keyboard_reaches_everything_and_enter_never_pays(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit()
    page.goto(demo.address)
    fill(page, filled)
    page.locator("#title").focus()
    reached = []
    while len(reached) < 30 and (not reached or reached[-1] != "pay"):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.value || ''"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    fields = ["text", "file", "language", "tone", "style", "colors", "references", "notes", "email"]
    assert reached == [*fields, "start_now", "ai_images", "rights", "save", "pay"]

    page.locator("#title").press("Enter")

    expect(page.get_by_text("Saved, and everything is in order.")).to_be_visible()


def test_an_order_is_withdrawn_by_hand(demo: Any, visit: Visit, filled: Form) -> None:
    page = visit(PHONE)
    page.goto(f"{demo.address}/orders/{demo.order(filled)}")

    page.get_by_text("Withdraw this order").click()
    page.get_by_role("button", name="Yes, withdraw it").click()

    expect(page.get_by_role("heading", name="This order was withdrawn")).to_be_visible()
    expect(page.get_by_text("Withdraw this order")).to_be_hidden()
