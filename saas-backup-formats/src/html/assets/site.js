"use strict";
(() => {
  const page = document.documentElement;
  const root = page.dataset.root;
  const input = document.getElementById("search");
  const found = document.getElementById("found");
  const list = document.getElementById("results");
  const status = document.getElementById("status");
  input.closest(".search").hidden = false;

  // Files of the index are scripts: nothing else can be read from a folder.
  const waiting = new Map();
  const loads = new Map();
  globalThis.archiveShard = (name, data) => waiting.get(name)?.(data);
  const load = (name) => {
    if (!loads.has(name)) {
      loads.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `${root}_search/${name}.js`;
        script.onerror = () => { loads.delete(name); reject(new Error(name)); };
        waiting.set(name, resolve);
        document.head.append(script);
      }));
    }
    return loads.get(name);
  };

  const SIGN = /[\u2E80-\u2FDF\u3005-\u3007\u3021-\u3029\u3038-\u303B\u3041-\u30FF\u31F0-\u31FF\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\u{20000}-\u{323AF}]/u;
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}+/gu, "");
  const fold = (text) => plain(plain(text).toLowerCase()).replace(/ς/g, "σ");
  const words = (text) => {
    const out = [];
    for (const [run] of fold(text).matchAll(/[\p{Alphabetic}\p{N}]+/gu)) {
      let part = [];
      let signs = false;
      const end = () => {
        if (part.length === 0) return;
        if (!signs) out.push(part.slice(0, 40).join(""));
        else if (part.length === 1) out.push(part[0]);
        else for (let i = 0; i + 1 < part.length; i++) out.push(part[i] + part[i + 1]);
        part = [];
      };
      for (const character of run) {
        const sign = SIGN.test(character);
        if (sign !== signs) end();
        signs = sign;
        part.push(character);
      }
      end();
    }
    return [...new Set(out)];
  };

  // The order of the files: by code points, where `<` goes by halves of them.
  const before = (one, other) => {
    const a = [...one], b = [...other];
    for (let i = 0; i < a.length && i < b.length; i++) {
      if (a[i] !== b[i]) return a[i].codePointAt(0) < b[i].codePointAt(0);
    }
    return a.length < b.length;
  };
  // Of one letter nearly everything is found, whatever is left out.
  const mostFiles = (word) => (word.length === 1 ? 3 : 12);

  const documentsOf = async (word, index) => {
    let low = 0, high = index.words.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(word, index.words[middle])) high = middle; else low = middle + 1;
    }
    const names = [];
    for (let i = Math.max(0, low - 1); i < index.words.length && names.length < mostFiles(word); i++) {
      if (i >= low && !index.words[i].startsWith(word)) break;
      names.push(`w${i}`);
    }
    const scores = new Map();
    for (const shard of await Promise.all(names.map(load))) {
      for (let i = 0; i < shard.length; i += 2) {
        if (!shard[i].startsWith(word)) continue;
        const part = shard[i] === word ? 1 : 0.6;
        let number = 0, distance = 0;
        const places = shard[i + 1];
        for (let at = 0; at < places.length; at++) {
          const code = places.charCodeAt(at);
          if (code > 96) distance = distance * 36 + code - 87;
          else if (code < 58) distance = distance * 36 + code - 48;
          else {
            number += distance;
            distance = 0;
            const inTitle = code > 73;
            const times = code - (inTitle ? 73 : 64);
            const score = part * ((inTitle ? 8 : 0) + Math.log2(1 + times));
            if (!(scores.get(number) >= score)) scores.set(number, score);
          }
        }
      }
    }
    return scores;
  };

  const search = async (text) => {
    const asked = words(text);
    if (asked.length === 0) return null;
    const index = await load("index");
    const lists = await Promise.all(asked.map((word) => documentsOf(word, index)));
    lists.sort((one, other) => one.size - other.size);
    const hits = [];
    for (const number of lists[0].keys()) {
      let score = 0;
      for (const scores of lists) {
        const part = scores.get(number);
        if (part === undefined) { score = -1; break; }
        score += part * Math.log(1 + index.documents / scores.size);
      }
      if (score >= 0) hits.push([number, score]);
    }
    hits.sort((one, other) => other[1] - one[1] || one[0] - other[0]);
    return { hits, index, asked };
  };

  const marked = (element, text, asked) => {
    for (const piece of text.split(/([\p{Alphabetic}\p{N}\p{M}]+)/u)) {
      if (piece === "") continue;
      const plain = fold(piece);
      const hit = asked.some((word) => plain.startsWith(word) || (SIGN.test(word) && plain.includes(word)));
      if (hit) {
        const mark = document.createElement("mark");
        mark.textContent = piece;
        element.append(mark);
      } else element.append(piece);
    }
  };

  const PAGE = 20;
  let asking = 0, shown = PAGE, selected = -1;
  const close = () => {
    found.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    selected = -1;
  };
  const select = (to) => {
    const options = [...list.children];
    if (options.length === 0) return;
    selected = (to + options.length) % options.length;
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === selected)));
    options[selected].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", options[selected].id);
  };

  const ask = async () => {
    const turn = ++asking, text = input.value;
    let result;
    try {
      result = await search(text);
    } catch {
      result = { failed: true };
    }
    if (turn !== asking) return;
    if (result === null) return close();
    const items = [];
    if (result.failed) {
      status.textContent = "The index cannot be read: the folder _search is not whole.";
    } else {
      const { hits, index, asked } = result;
      const few = hits.slice(0, shown);
      const names = [...new Set(few.map(([number]) => `d${Math.floor(number / index.each)}`))];
      const shards = new Map();
      await Promise.all(names.map(async (name) => shards.set(name, await load(name))));
      if (turn !== asking) return;
      for (const [number] of few) {
        const [title, link, collection, snippet, note] = shards.get(`d${Math.floor(number / index.each)}`)[number % index.each];
        const item = document.createElement("li");
        item.id = `result-${items.length}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        const anchor = document.createElement("a");
        anchor.href = root + link;
        anchor.tabIndex = -1;
        const head = document.createElement("strong");
        head.dir = "auto";
        marked(head, title, asked);
        const of = document.createElement("small");
        of.textContent = index.collections[collection] + (note ? ` · ${note}` : "");
        const text = document.createElement("span");
        text.dir = "auto";
        marked(text, snippet, asked);
        anchor.append(head, of, text);
        item.append(anchor);
        items.push(item);
      }
      const count = hits.length === 1 ? "1 result" : `${hits.length.toLocaleString("en")} results`;
      status.textContent = hits.length === 0 ? "Nothing found" : hits.length > few.length ? `${count}, the best ${few.length}: arrow down at the end shows more` : count;
      list.dataset.more = String(hits.length > few.length);
    }
    list.replaceChildren(...items);
    list.dataset.of = text;
    found.hidden = false;
    input.setAttribute("aria-expanded", "true");
    selected = -1;
  };

  input.addEventListener("input", () => { shown = PAGE; ask(); });
  input.addEventListener("focus", () => {
    load("index").catch(() => {});
    if (input.value !== "") ask();
  });
  input.addEventListener("keydown", async (event) => {
    if (event.key === "ArrowDown") {
      event.preventDefault();
      if (selected === list.children.length - 1 && list.dataset.more === "true") {
        const next = selected + 1;
        shown += PAGE;
        await ask();
        select(next);
      } else select(selected + 1);
    } else if (event.key === "ArrowUp") {
      event.preventDefault();
      select(selected - 1);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const option = list.children[Math.max(selected, 0)];
      if (!found.hidden && option) location.href = option.firstElementChild.href;
    } else if (event.key === "Escape") {
      if (found.hidden) input.blur();
      input.value = "";
      asking++;
      close();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".search")) close();
  });
  list.addEventListener("click", close);

  // A link to a row or a comment shows it, also where it is folded away.
  const reveal = () => {
    const place = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = place; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
