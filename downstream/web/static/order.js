/*
 * The order form with a script: the length while one types, the language that is found, and nothing typed is lost
 * when the page is closed before it was sent. Without it the form does the same whenever it is saved.
 */

const form = document.getElementById("order");
if (form) {
  countWords(form);
  findLanguage(form);
  holdBackLargeFiles(form);
  keepWhatIsTyped(form);
}

/* ---- The length ------------------------------------------------------------------------------------------------- */

/** Shows how long the story is, counted by the server's own rules; says it aloud only when the typing rests. */
async function countWords({ elements: { text, language } }) {
  const shown = document.getElementById("length");
  const said = document.getElementById("length-said");
  const { counting, least, most } = shown.dataset;
  const count = counter(await (await fetch(counting)).json());
  const range = `${least}–${thousands(most)}`;
  const bold = document.createElement("b");
  const tell = () => {
    const words = count(text.value, language.value || text.lang);
    const amount = `${thousands(words)} ${words === 1 ? "word" : "words"}`;
    bold.textContent = amount;
    shown.replaceChildren(bold, ` of ${range}`);
    shown.dataset.fits = Number(least) <= words && words <= Number(most) ? "yes" : words ? "no" : "";
    return `${amount} of ${range}`;
  };
  const show = rarely(120, tell);
  const say = rarely(1500, () => { said.textContent = tell(); });
  text.addEventListener("input", () => { show(); say(); });
  form.addEventListener("language", tell);
  tell();
}

/** Python's count_words, by the same characters. */
function counter(rules) {
  const characters = (...ranges) => ranges.join("");
  const word = (cjk) => {
    const unspaced = cjk + rules.southeast_asian;
    // A character that begins a word: a letter or digit, and none of the others.
    const first = `(?![${characters(unspaced, rules.voice_marks)}])[${characters(rules.word)}]`;
    return new RegExp(`${first}[^${characters(rules.space, unspaced, rules.separators)}]*`, "gu");
  };
  const each = (ranges) => new RegExp(`[${characters(ranges)}]`, "gu");
  const number = (pattern, text) => { let found = 0; for (pattern.lastIndex = 0; pattern.test(text);) found += 1; return found; };
  const withoutCjk = word(rules.cjk), withCjk = word("");
  const cjk = each(rules.cjk), southeastAsian = each(rules.southeast_asian);
  return (text, language) => {
    const isKorean = language.split("-")[0].toLowerCase() === "ko";
    return number(isKorean ? withCjk : withoutCjk, text)
      + (isKorean ? 0 : Math.ceil(number(cjk, text) / rules.cjk_per_word))
      + Math.ceil(number(southeastAsian, text) / rules.southeast_asian_per_word);
  };
}

/* ---- The language ----------------------------------------------------------------------------------------------- */

/** Asks which language the text is in while nobody has chosen one. */
function findLanguage({ elements: { text, language } }) {
  const found = document.getElementById("found");
  const use = (tag) => {
    text.lang = tag;
    form.dispatchEvent(new Event("language"));
  };
  const ask = rarely(900, async () => {
    if (language.value || text.value.trim().length < 40) return;
    const answer = await fetch(found.dataset.address, { method: "POST", body: text.value.slice(0, 4000) }).catch(() => null);
    if (!answer?.ok || language.value) return;
    const { tag, name } = await answer.json();
    found.textContent = `This looks like ${name}.`;
    use(tag);
  });
  text.addEventListener("input", ask);
  language.addEventListener("change", () => (language.value ? use(language.value) : ask()));
}

/* ---- The file --------------------------------------------------------------------------------------------------- */

/** Says at once that a file is too large, and sends nothing while one is chosen. */
function holdBackLargeFiles({ elements: { file } }) {
  const said = document.getElementById("file-large");
  const most = Number(file.dataset.most);
  const isLarge = () => [...file.files].some(({ size }) => size > most);
  file.addEventListener("change", () => {
    said.textContent = isLarge() ? `This file is too large (${most / 1e6} MB at most); please paste the text instead.` : "";
    said.hidden = !isLarge();
    file.ariaInvalid = isLarge() ? "true" : null;
  });
  form.addEventListener("submit", (event) => {
    if (!isLarge()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    file.focus();
  });
}

/* ---- What was typed and not sent -------------------------------------------------------------------------------- */

/**
 * Everything typed is kept in this browser until the server has it. A copy that is sent gets an edition, which the server
 * names in a cookie once the words are on its disk: only then is the copy dropped.
 */
function keepWhatIsTyped(form) {
  const browser = attempt(() => localStorage);
  if (!browser) return;
  const place = `downstream ${location.pathname}`;
  const version = form.dataset.version;
  const names = ["title", "text", "language", "tone", "style", "colors", "references", "notes", "email"];
  const fields = () => ({
    ...Object.fromEntries(names.map((name) => [name, form.elements[name].value])),
    agreed: [...form.querySelectorAll("[name=agreed]:checked")].map((box) => box.value),
  });
  const served = JSON.stringify(fields());
  let edition = "";
  const remember = () => {
    attempt(() => browser.setItem(place, JSON.stringify({ version, edition, at: Date.now(), fields: fields() })));
  };
  const rememberSoon = rarely(300, remember);
  const named = Object.assign(document.createElement("input"), { type: "hidden", name: "edition" });

  for (const one of new Set([place, "downstream /"])) if (isOnTheServer(one)) browser.removeItem(one);
  const kept = copyAt(place);
  const fortnight = 14 * 24 * 3600 * 1000;
  if (kept && Date.now() - kept.at < fortnight) {
    if (JSON.stringify(kept.fields) !== served) restore(kept, JSON.parse(served));
  } else {
    browser.removeItem(place);
  }

  form.addEventListener("input", () => {
    edition = "";
    rememberSoon();
  });
  form.addEventListener("submit", () => {
    edition = [...crypto.getRandomValues(new Uint32Array(4))].map((number) => number.toString(36)).join("");
    named.value = edition;
    form.append(named);
    remember();
  });

  function copyAt(where) {
    return attempt(() => JSON.parse(browser.getItem(where)));
  }

  function isOnTheServer(where) {
    const sent = copyAt(where)?.edition;
    return sent && document.cookie.split("; ").includes(`arrived=${sent}`);
  }

  function restore(earlier, instead) {
    fill(earlier.fields);
    const notice = document.getElementById("restored");
    notice.querySelector("span").hidden = earlier.version === version;
    notice.hidden = false;
    notice.querySelector("button").addEventListener("click", () => {
      fill(instead);
      browser.removeItem(place);
      notice.hidden = true;
      form.elements.title.focus();
    });
  }

  function fill(values) {
    for (const name of names) form.elements[name].value = values[name] ?? "";
    for (const box of form.querySelectorAll("[name=agreed]")) box.checked = values.agreed.includes(box.value);
    form.elements.text.dispatchEvent(new Event("input"));
  }
}

/* ---- Small things ----------------------------------------------------------------------------------------------- */

function thousands(number) {
  return Number(number).toLocaleString("en");
}

/** Calls `action` once things have been still for so many milliseconds. */
function rarely(milliseconds, action) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}

/** A browser that keeps nothing (a full or forbidden store) is none the worse for it. */
function attempt(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
