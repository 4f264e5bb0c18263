/* The status page moves by itself: every few seconds it asks where the order stands and shows what it is told. */

const EVERY_MILLISECONDS = 3000;
const page = document.getElementById("status");
const part = (name) => page.querySelector(`[data-say="${name}"]`);

if (!("over" in page.dataset)) setTimeout(look, EVERY_MILLISECONDS);
forgetWhatWasTyped();

async function look() {
  if (!document.hidden) {
    const answer = await fetch(page.dataset.address).catch(() => null);
    if (answer?.status === 404) return location.reload(); // it was erased
    if (answer?.ok) {
      const status = await answer.json();
      show(status);
      if (status.is_over) return;
    }
  }
  setTimeout(look, EVERY_MILLISECONDS);
}

function show(status) {
  say("headline", status.headline);
  say("sentence", status.sentence);
  say("made", status.made);
  say("promised", status.promised?.words ?? "");
  part("promised").dateTime = status.promised?.iso ?? "";
  document.title = `${status.headline} · DownStream`;
  page.querySelector("progress").max = status.total || 1;
  page.querySelector("progress").value = status.done;
  page.querySelector("[data-link]").href = status.address;
  showSteps(status.steps);
  for (const element of page.querySelectorAll("[data-if]")) {
    const value = status[element.dataset.if];
    element.hidden = Array.isArray(value) ? !value.length : !value;
  }
  for (const element of page.querySelectorAll("[data-stages]")) {
    element.hidden = !element.dataset.stages.split(" ").includes(status.stage);
  }
}

/** Only what is new is written, so that only what is new is read aloud. */
function say(name, words) {
  if (part(name).textContent !== words) part(name).textContent = words;
}

function showSteps(steps) {
  const items = steps.map(({ name, state }) => {
    const item = document.createElement("li");
    const label = document.createElement("span");
    label.textContent = name;
    item.dataset.state = state;
    if (state === "now") item.ariaCurrent = "step";
    item.append(label);
    return item;
  });
  page.querySelector(".way").replaceChildren(...items);
}

/** What became this order has arrived: this browser need not keep a copy of it. What never arrived stays. */
function forgetWhatWasTyped() {
  try {
    for (const place of [`downstream ${page.dataset.draft}`, "downstream /"]) {
      const sent = JSON.parse(localStorage.getItem(place))?.edition;
      if (sent && document.cookie.split("; ").includes(`arrived=${sent}`)) localStorage.removeItem(place);
    }
  } catch {
    // it keeps nothing anyway
  }
}
